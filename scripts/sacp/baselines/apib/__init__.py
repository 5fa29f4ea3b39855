"""APIB: channels that explain what the next layer computes, by HSIC Lasso, one penalty for all layers.

Guo et al., Automatic Network Pruning via Hilbert-Schmidt Independence Criterion Lasso under Information Bottleneck
Principle, ICCV 2023, and the authors' code (`sunggo/APIB`). Nothing is trained: one batch of images is looked at.
"""
