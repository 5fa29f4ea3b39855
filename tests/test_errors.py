import io

import numpy as np
import pytest
import torch
from sacp.errors import asked, listed, nearest, out_of_memory, shown, told


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
        (SystemExit(0), "SystemExit: 0"), (RuntimeError("x" * 500), "RuntimeError: " + "x" * 157 + "..."),
        (ValueError("\x1b[1mbold\x1b[0m"), "ValueError: bold"),
        (OSError(f"cannot read {io.BytesIO()!r}"), "OSError: cannot read <BytesIO>"),
        (ValueError("of words " * 20), "ValueError: " + "of words " * 17 + "of..."),
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


def test_a_value_is_shown_without_its_address() -> None:
    assert (
        shown({"a": object(), "b": [print, nearest]})
        == "{'a': <object>, 'b': [<built-in function print>, <function nearest>]}"
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Unable to allocate 8.00 PiB for an array with shape (9,)", " (asked for: 8.00 PiB)"),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 96 bytes. Error", " (asked for: 96 bytes)"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0", " (asked for: 2.00 GiB)"),
        ("", ""),
    ],
)
def test_of_memory_it_is_said_how_much_was_asked_for(message: str, words: str) -> None:
    assert asked(MemoryError(message)) == words
