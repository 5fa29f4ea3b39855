"""Methods that a search is compared with, each at the FLOPs of the winner that it matches.

A baseline is a function from a `Task` to kept channels, a criterion one that orders channels. It may import `training`
and the rooms before it, and no search.
"""
