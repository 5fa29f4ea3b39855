"""AGMC: an agent sees the network's graph through an encoder of its own, and names the shares of all groups at once.

Yu, Mazaheri, Jannesari, Auto Graph Encoder-Decoder for Neural Network Pruning, ICCV 2021, and the authors' code
(`yusx-swapp/AGMC`). Networks are evaluated as they are pruned, none is trained.
"""
