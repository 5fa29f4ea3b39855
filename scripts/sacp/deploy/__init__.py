"""Pruned networks in the formats of other programs: `torch.export`'s and ONNX, each compared with the network.

It may import `pruning` and the rooms before it. What only ONNX needs is imported where it is written.
"""
