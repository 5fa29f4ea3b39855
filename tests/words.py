"""What no message to a user may be: the one check of all tables of mistakes."""

FORBIDDEN = (
    "Traceback", "\x1b", "<_io.", " at 0x", "graph():", "%x : [num_users", "torch/", "site-packages", "alloc_cpu",
    "\n", "\t",
)  # fmt: skip
LONGEST = 400  # characters


def check_words(message: str, *expected: str) -> None:
    """A message is one line of our own words, and has all that is expected."""
    for part in expected:
        assert part in message
    for part in FORBIDDEN:
        assert part not in message
    assert 0 < len(message) <= LONGEST
