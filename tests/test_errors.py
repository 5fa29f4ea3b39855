import numpy as np
import pytest
import torch
from sacp.errors import listed, nearest, out_of_memory, told


@pytest.mark.parametrize(
    ("word", "expected"),
    [("treshold", " (did you mean 'threshold'?)"), ("levls", " (did you mean 'levels'?)"), ("xyz", "")],
)
def test_nearest_word_is_named_if_there_is_one(word, expected):
    assert nearest(word, ["threshold", "levels", "search_size"]) == expected


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("one\ntwo"), "ValueError: one two"), (AssertionError(), "AssertionError"),
        (SystemExit(0), "SystemExit: 0"), (RuntimeError("x" * 500), "RuntimeError: " + "x" * 160),
        (ValueError("\x1b[1mbold\x1b[0m"), "ValueError: bold"),
    ],
)  # fmt: skip
def test_an_exception_of_a_users_code_is_told_by_its_kind_and_its_message(error, words):
    assert told(error) == words


def test_of_many_names_the_first_are_listed():
    assert [listed("abcde"[:number]) for number in (1, 3, 4)] == ["a", "a, b, c", "a, b, c and 1 more"]


def test_want_of_memory_is_known_from_whatever_library():
    size = 2**50  # bytes, more than addresses reach
    for allocate in (
        lambda: np.empty(size, np.uint8), lambda: torch.empty(size, dtype=torch.uint8), lambda: bytearray(size),
    ):  # fmt: skip
        with pytest.raises((MemoryError, RuntimeError)) as caught:
            allocate()
        assert out_of_memory(caught.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not out_of_memory(RuntimeError("sizes do not match"))
