"""Files that are written whole or not at all, their digests, and records of how they were made.

It may import `errors` alone; only `tensors` needs torch.
"""
