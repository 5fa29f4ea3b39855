"""How long networks take: `runtimes` makes a network ready to run, `measure` times it, beside others in turns.

It may import `tracing`, `network` and the rooms before them, and no search.
"""
