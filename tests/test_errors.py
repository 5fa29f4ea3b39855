import pytest
from sacp.errors import nearest, told


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
    ],
)  # fmt: skip
def test_an_exception_of_a_users_code_is_told_by_its_kind_and_its_message(error, words):
    assert told(error) == words
