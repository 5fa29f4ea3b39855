"""AMC: an agent walks once through the groups and says which share of each stays; its reward is the accuracy it leaves.

He et al., AMC: AutoML for Model Compression and Acceleration on Mobile Devices, ECCV 2018, and the authors' code
(`mit-han-lab/amc`). Networks are evaluated as they are pruned, none is trained.
"""
