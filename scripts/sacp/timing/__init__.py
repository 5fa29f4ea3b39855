"""How long networks take: measured in turns, and modelled for all configurations as a sum over layers.

`runtimes` makes a network ready to run, `measure` times it beside others; `layers` cuts layers to widths, `known` keeps
their times, `model` makes tables of them. It may import `tracing`, `network`, `pruning` and the rooms before them, and
no search.
"""
