"""The epochs of a comparison at equal cost, and its table."""

import pandas as pd
import pytest
from benchmarks.distillation import COLUMNS, WITHIN, epochs_alike, print_table


def test_epochs_that_take_the_same_seconds_by_hand() -> None:
    assert epochs_alike(1.0, 20) == (20, 20)
    assert epochs_alike(2.0, 20) == (20, 10)
    assert epochs_alike(1.5, 20) == (20, 13)  # 19.5 of 20
    assert epochs_alike(3.5, 6) == (7, 2)  # 6 epochs would be 1 of 3.5


@pytest.mark.parametrize("ratio", [1.07, 1.31, 1.9, 2.7, 4.6])
def test_a_taught_network_never_takes_more_and_at_most_five_percent_less(ratio: float) -> None:
    for wanted in (1, 5, 20):
        plain, taught = epochs_alike(ratio, wanted)
        assert plain >= wanted
        assert (1 - WITHIN) * plain <= taught * ratio <= plain


def test_differences_are_those_of_the_same_seed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("vgg11", 1.0, 0, 0.0, 20, 1, 70.0, 9.0)]
    rows += [("vgg11", 0.2, seed, 0.0, 20, 0.2, 50.0 + 10 * seed, 100.0) for seed in (0, 1, 2)]
    rows += [("vgg11", 0.2, seed, 0.9, 13, 0.2, 51.0 + 12 * seed, 96.0 + seed) for seed in (0, 1)]  # one is missing
    print_table(pd.DataFrame(rows, columns=list(COLUMNS)))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| vgg11")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["vgg11", "20%", "0.9", "2", "20, 13", "0.960 to 0.970", "55.00", "57.00", "+2.00 ± 1.41"]
