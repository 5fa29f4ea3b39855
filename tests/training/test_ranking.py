"""The table of tuned candidates: what is written is read again, and nothing else is."""

from pathlib import Path

import pytest
from sacp.artefacts.files import write_csv
from sacp.errors import InputError
from sacp.training.ranking import ACCURACY, TUNED_COLUMNS, known, load_tuned, sweep

ROWS = [
    {"rank": 0, "candidate": 17, ACCURACY: 100 / 3, "flops": 2**40 + 1, "parameters": 7, "failure": None},
    {
        "rank": 1,
        "candidate": 3,
        ACCURACY: None,
        "flops": 5,
        "parameters": 6,
        "failure": 'the loss is "nan", in epoch 1',
    },
    {"rank": 2, "candidate": 4, ACCURACY: 0.0, "flops": 5, "parameters": 6, "failure": None},
]
HEADER = ",".join(TUNED_COLUMNS)


@pytest.mark.parametrize("place_holder", [None, "<TBD>"])
def test_a_job_that_was_planned_too_early_says_so(place_holder) -> None:
    assert known(["a", "b"]) == ["a", "b"]
    with pytest.raises(InputError, match="not known when this job was planned; run the same command again"):
        known(place_holder)


@pytest.mark.parametrize("rows", [ROWS, []], ids=["rows", "none"])
def test_rows_are_read_as_they_were_written_empty_cells_too(tmp_path: Path, rows: list) -> None:
    path = tmp_path / "tuned.csv"
    write_csv(path, rows, TUNED_COLUMNS)
    found = load_tuned(path)
    assert found == rows
    assert [[type(cell) for cell in row.values()] for row in found] == [
        [type(cell) for cell in row.values()] for row in rows
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        HEADER.replace("candidate", "network").encode() + b"\n0,1,2.5,3,4,\n",
        b"candidate,flops\n1,2\n",
        HEADER.encode() + b",more\n0,1,2.5,3,4,,5\n",
        HEADER.encode() + b"\n0,1,2.5,3\n",
        HEADER.encode() + b"\n0,1,2.5,3,4\n",
        HEADER.encode() + b"\n0,1,2.5,3,4,,5\n",
        HEADER.encode() + b"\n0,one,2.5,3,4,\n",
        HEADER.encode() + b"\n0,1,high,3,4,\n",
        HEADER.encode() + b"\n0.5,1,2.5,3,4,\n",
        HEADER.encode() + b'\n0,1,2.5,3,4,"the loss',
        HEADER.encode() + b"\n0,1,2.5,3,4,\xff\xfe\n",
    ],
    ids=[
        "empty", "another column", "another table", "a column more", "cut in a row", "a cell less", "a cell more",
        "no number", "no accuracy", "half a rank", "cut in quotes", "no text",
    ],
)  # fmt: skip
def test_a_damaged_table_or_another_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tuned.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tuned\.csv: not a table of tuned candidates") as caught:
        load_tuned(path)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tuned\.csv: not a table of tuned candidates \(.*No such file"):
        load_tuned(tmp_path / "tuned.csv")


def trained(validation: float, test: float, number: int) -> dict:
    return {"candidate": number, ACCURACY: validation, "test_accuracy_percent": test}


def test_the_sweep_gives_the_winner_by_validation_and_the_best_by_test() -> None:
    tuned = [{"rank": rank, "candidate": rank, ACCURACY: 50.0 - rank, "failure": None} for rank in range(4)]
    accuracies = [(80, 70), (90, 60), (85, 75), (70, 99)]  # by validation and by test
    found = {number: trained(*each, number) for number, each in enumerate(accuracies)}
    assert sweep(tuned, found, [(4, 1), (4, 2), (4, 3), (4, 4), (3, 4)]) == [
        (70, 70), (60, 70), (60, 75), (60, 99), (60, 75),
    ]  # fmt: skip
