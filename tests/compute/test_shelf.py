"""States on their way from one job to the next: whole, of the right job, and in one file."""

import zipfile
from pathlib import Path

import pytest
import torch
from sacp.compute.resume import Sidecar
from sacp.compute.shelf import Shelf, taken
from sacp.errors import InputError


def state(number: int) -> dict:
    return {"epoch": number, "network": {"weight": torch.full((3,), float(number))}, "history": [{"lr": 0.1}]}


def filled(folder: Path, key: str = "key", *numbers: int) -> Shelf:
    """A shelf with states of these numbers; its job's own state is saved."""
    sidecar = Sidecar(folder / "job.pt", key)
    shelf = Shelf(sidecar)
    for number in numbers or (4, 2):
        shelf.put(number, state(number))
    sidecar.state["rows"] = list(numbers)
    sidecar.save()
    return shelf


def again(folder: Path, key: str = "key") -> dict:
    """What a job that is started again finds of its state."""
    sidecar = Sidecar(folder / "job.pt", key)
    Shelf(sidecar)
    return sidecar.state


def test_states_come_back_one_by_one_and_their_own_files_are_gone(tmp_path):
    filled(tmp_path / "a", "key", 1, 12).archive(tmp_path / "a.zip")
    filled(tmp_path / "b", "key", 7).archive(tmp_path / "b.zip")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["job.pt"]
    found = taken([tmp_path / "a.zip", tmp_path / "b.zip"], 12)
    assert (found["epoch"], found["history"]) == (12, [{"lr": 0.1}])
    assert torch.equal(found["network"]["weight"], torch.full((3,), 12.0))
    assert taken([tmp_path / "a.zip", tmp_path / "b.zip"], 7)["epoch"] == 7
    with pytest.raises(InputError, match=r"state of candidate 3: in none of .*a\.zip; run its rung again"):
        taken([tmp_path / "a.zip"], 3)


def test_equal_states_give_equal_bytes(tmp_path):
    for name in "ab":
        filled(tmp_path / name).archive(tmp_path / f"{name}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_archive_may_hold_nothing(tmp_path):
    Shelf(Sidecar(tmp_path / "job.pt")).archive(tmp_path / "none.zip")
    with zipfile.ZipFile(tmp_path / "none.zip") as handle:
        assert handle.namelist() == []


def test_a_job_that_goes_on_has_the_states_of_what_it_has_done(tmp_path):
    filled(tmp_path, "key", 4, 2)
    assert again(tmp_path)["rows"] == [4, 2]


@pytest.mark.parametrize("how", ["missing", "changed", "of another job"])
def test_work_whose_states_are_gone_or_not_its_own_is_done_anew(tmp_path, caplog, how):
    filled(tmp_path)
    if how == "missing":
        (tmp_path / "job.2.pt").unlink()
    elif how == "changed":
        (tmp_path / "job.2.pt").write_bytes(b"other")
    else:
        Shelf(Sidecar(tmp_path / "job.pt", "other")).put(2, state(3))  # killed before it saved anything of its own
    assert again(tmp_path) == {"shelf": {}}
    assert "starting anew" in caplog.text
    assert "job.2.pt is missing or changed" in caplog.text


def test_the_precision_of_a_job_outlives_lost_states(tmp_path):
    shelf, sidecar = filled(tmp_path), Sidecar(tmp_path / "job.pt", "key")
    sidecar.state["precision"] = "float32"
    sidecar.save()
    (tmp_path / "job.4.pt").unlink()
    assert again(tmp_path) == {"precision": "float32", "shelf": {}}
    assert shelf.digests.keys() == {4, 2}


@pytest.mark.parametrize("damage", ["cut", "one byte", "no archive", "code"])
def test_a_damaged_archive_is_refused_in_one_line_and_runs_no_code(tmp_path, damage):
    path = tmp_path / "a.zip"
    filled(tmp_path / "a").archive(path)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-100])
    elif damage == "one byte":
        content[len(content) // 4] ^= 1
        path.write_bytes(content)
    elif damage == "no archive":
        path.write_text("none")
    else:
        torch.save({"path": Path("x")}, tmp_path / "code.pt")  # a class that is no tensor
        with zipfile.ZipFile(path, "w") as handle:
            handle.write(tmp_path / "code.pt", "4.pt")
    # Of an archive that is cut, the end of its last state may pass for an archive, which holds none.
    with pytest.raises(InputError, match=r"a\.zip: not an archive of states|in none of .*a\.zip") as caught:
        taken([path], 4)
    assert "\n" not in str(caught.value)
