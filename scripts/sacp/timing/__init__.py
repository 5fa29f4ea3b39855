"""How long networks take: measured in turns, modelled for all configurations, and as a budget that is met by measuring.

`runtimes` makes a network ready to run, `measure` times it beside others; `layers` cuts layers to widths, `tables`
times them, `known` keeps that, `model` sums it up, and `budget` asks for a network by the model and looks what it
takes. It may import `tracing`, `network`, `pruning` and the rooms before them, and no search: that is passed in.
"""
