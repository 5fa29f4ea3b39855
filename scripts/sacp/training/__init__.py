"""Training and evaluation of networks, of candidates one after the other or in rungs, and the choice of a winner.

It may import `pruning`, `images`, `network` and the rooms before them, and no method: no baseline, encoder or search.
"""
