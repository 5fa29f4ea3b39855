import pytest
from sacp.errors import nearest


@pytest.mark.parametrize(
    ("word", "expected"),
    [("treshold", " (did you mean 'threshold'?)"), ("levls", " (did you mean 'levels'?)"), ("xyz", "")],
)
def test_nearest_word_is_named_if_there_is_one(word, expected):
    assert nearest(word, ["threshold", "levels", "search_size"]) == expected
