"""What is said of successive halving is what its rows say."""

import pandas as pd
from benchmarks.halving import AT_ONCE, COLUMNS, HALVED, curves, table

# By rank: accuracies at the end of each rung. The last is ahead at the end, and behind after a half.
ACCURACIES = ((10, 20, 30), (12, 25, 28), (5, 30, 40), (11, 18, 50))


def rows(seed: int = 0) -> pd.DataFrame:
    made = [
        (6000, 20, 1, seed, rank, rung, accuracy, 90 - rank if rung == 2 else None, 2**rung, 0.5)
        for rank, accuracies in enumerate(ACCURACIES)
        for rung, accuracy in enumerate(accuracies)
    ]
    return pd.DataFrame(made, columns=list(COLUMNS))


def test_the_winners_of_both_ways_are_those_by_hand() -> None:
    found = curves(rows(), [2, 4]).set_index(["m", "way"])
    assert found.loc[(2, AT_ONCE), "winner"] == 0
    assert found.loc[(2, HALVED), "winner"] == 1  # 12 % after a quarter, against 10 %
    assert found.loc[(4, AT_ONCE), "winner"] == 3
    assert found.loc[(4, HALVED), "winner"] == 1  # 1 and 3 go on, and 1 is ahead after a half
    assert found.loc[(4, HALVED), "accuracy"] == 89
    assert found.loc[(4, AT_ONCE), "seconds"] == 4 * (1 + 2 + 4 + 0.5)
    assert found.loc[(4, HALVED), "seconds"] == 4 * 1.5 + 2 * 2.5 + 4.5


def test_seeds_without_all_of_their_candidates_are_left_out() -> None:
    found = curves(pd.concat([rows(0), rows(1).iloc[:-1]]), [2, 4])
    assert sorted(found[found["m"] == 4]["seed"]) == [0, 0]
    assert sorted(found[found["m"] == 2]["seed"]) == [0, 0, 1, 1]
    assert "| 4 | 30 | 16 | 87.00 | 89.00 | 0 of 1 |" in table(found)
