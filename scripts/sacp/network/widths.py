"""Widths of networks."""


def scaled(channels: int, width: float) -> int:
    """Return `channels` times the width factor, at least 1."""
    return max(1, round(channels * width))
