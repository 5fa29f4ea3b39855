"""Independent random streams from one seed."""

import hashlib


def derive(*parts: int | str) -> int:
    """Return a 63-bit seed that is a function of `parts` alone: equal parts, equal seed, on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
