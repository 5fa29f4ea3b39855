"""Files, their digests and their records: written whole or not at all, named with how they were made.

It may import `errors` alone; only `tensors` needs torch.
"""
