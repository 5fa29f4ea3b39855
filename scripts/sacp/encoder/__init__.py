"""The graph encoder of the paper: its node features, its training, and its scores by dense batches or lookup tables.

It may import `pruning`, `network` and the rooms before them. Only this room loads torch-geometric.
"""
