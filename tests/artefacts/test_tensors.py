from pathlib import Path

import pytest
import torch
from sacp.artefacts.tensors import load_torch, save_torch
from sacp.errors import InputError


def test_tensors_and_plain_values_come_back(tmp_path):
    save_torch(tmp_path / "file.pt", {"state": {"w": torch.arange(3)}, "epoch": 2})
    value = load_torch(tmp_path / "file.pt", ("state", "epoch"))
    assert value["epoch"] == 2
    assert torch.equal(value["state"]["w"], torch.arange(3))


@pytest.mark.parametrize(
    ("value", "keys", "expected"),
    [
        ({"state": 1}, ("state", "epoch"), "expected the keys state, epoch"),
        ([1], ("state",), "not a checkpoint of this kind"),
        ({"state": Path("x")}, ("state",), "corrupt or not a checkpoint"),  # a class, so code would run
    ],
)
def test_a_foreign_checkpoint_is_refused(tmp_path, value, keys, expected):
    torch.save(value, tmp_path / "file.pt")
    with pytest.raises(InputError, match=rf"file\.pt: .*{expected}") as caught:
        load_torch(tmp_path / "file.pt", keys)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 100, -1, -200])
def test_a_truncated_checkpoint_is_refused(tmp_path, length):
    torch.save({"state": torch.arange(1000)}, tmp_path / "file.pt")
    content = (tmp_path / "file.pt").read_bytes()
    (tmp_path / "file.pt").write_bytes(content[:length])
    with pytest.raises(InputError, match=r"file\.pt: corrupt or not a checkpoint"):
        load_torch(tmp_path / "file.pt", ("state",))


def value(number: int = 0) -> dict:
    """A dict of tensors and plain values, made anew each time."""
    torch.manual_seed(number)
    state = {"w": torch.randn(50, 20), "b": torch.arange(7), "n": torch.tensor(3)}
    return {"state": state, "rows": [{"loss": 0.1, "failure": None}], "name": "resnet8"}


def test_equal_values_give_equal_bytes_whatever_the_name_the_folder_and_the_time(tmp_path, monkeypatch):
    save_torch(tmp_path / "base.pt", value())
    monkeypatch.setattr("time.time", lambda: 1e9)
    save_torch(tmp_path / "deep/er/another_name.state", value())
    content = (tmp_path / "base.pt").read_bytes()
    assert (tmp_path / "deep/er/another_name.state").read_bytes() == content
    save_torch(tmp_path / "other.pt", value(1))
    assert (tmp_path / "other.pt").read_bytes() != content


def test_a_value_that_was_read_is_written_in_the_same_bytes(tmp_path):
    save_torch(tmp_path / "one.pt", value())
    save_torch(tmp_path / "two.pt", load_torch(tmp_path / "one.pt", ("state", "rows", "name")))
    assert (tmp_path / "two.pt").read_bytes() == (tmp_path / "one.pt").read_bytes()


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    save_torch(tmp_path / "file.pt", value())
    content = (tmp_path / "file.pt").read_bytes()
    with pytest.raises(Exception, match="pickle"):
        save_torch(tmp_path / "file.pt", {"state": lambda: 0})
    assert (tmp_path / "file.pt").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file.pt"]
