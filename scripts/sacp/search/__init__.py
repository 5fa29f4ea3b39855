"""Which configurations are worth tuning: scores, the best of millions, local search, reranking.

It may import `solver`, `training`, `pruning`, `network` and the rooms before them. A score is loaded by its import
path, so that each stage depends on its own alone.
"""
