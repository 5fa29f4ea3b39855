"""MetaPruning: one network makes the weights of all widths, and an evolution searches widths by them.

Liu et al., MetaPruning: Meta Learning for Automatic Neural Network Channel Pruning, ICCV 2019, and the authors' code
(`liuzechun/MetaPruning`).
"""
