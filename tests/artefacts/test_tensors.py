from pathlib import Path

import pytest
import torch
from sacp.artefacts.tensors import load_torch, save_safetensors, save_torch
from sacp.errors import InputError
from safetensors import safe_open
from safetensors.torch import save_file


def test_tensors_and_plain_values_come_back(tmp_path):
    save_torch(tmp_path / "file.pt", {"state": {"w": torch.arange(3)}, "epoch": 2})
    value = load_torch(tmp_path / "file.pt", ("state", "epoch"))
    assert value["epoch"] == 2
    assert torch.equal(value["state"]["w"], torch.arange(3))


TENSORS = {
    "zähler.b": torch.arange(3),
    "a": torch.arange(7, dtype=torch.uint8),
    "c": torch.full((2, 3), 0.1),
    "d": torch.ones(2, dtype=torch.bfloat16),
    "e": torch.tensor(True),
    "none": torch.zeros(0, 4),
}


@pytest.mark.parametrize("metadata", [None, {}, {"digest": 'a "ü" \\ \x01 \u2028'}])
def test_our_files_of_tensors_are_those_that_safetensors_writes(tmp_path, metadata):
    save_safetensors(tmp_path / "ours.safetensors", TENSORS, metadata)
    save_file(TENSORS, tmp_path / "theirs.safetensors", metadata)
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_equal_tensors_and_metadata_give_equal_bytes_in_whatever_order(tmp_path):
    metadata = {f"key {number}": str(number) for number in range(8)}
    files = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for number, path in enumerate(files):
        save_safetensors(path, TENSORS, dict(sorted(metadata.items(), reverse=number % 2 == 0)))
    assert len({path.read_bytes() for path in files}) == 1
    with safe_open(files[0], "pt") as handle:
        assert handle.metadata() == metadata
        assert all(torch.equal(handle.get_tensor(name), tensor) for name, tensor in TENSORS.items())


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
