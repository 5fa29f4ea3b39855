"""The space of configurations, the channels that one keeps, the proof and the files of what was pruned.

It may import `network` and the rooms before it; `space` needs no torch.
"""
