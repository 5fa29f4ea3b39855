"""What a baseline that learns for long returns, what of it is written, and what a full training starts from."""

import runpy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checkout import ROOT
from learning_tasks import task
from sacp.artefacts.files import write_json
from sacp.baselines.learning import Learned, settled
from sacp.errors import InputError
from sacp.network.cost import cost_of_graph
from sacp.network.graph import save_graph
from sacp.network.surgery import prune
from sacp.network.weights import load_base, save_base
from sacp.pruning.files import load_kept
from sacp.training.loop import HISTORY_COLUMNS
from sacp.training.ranking import load_tuned
from stand_in import stand_in
from trainings import RECIPE, SPEC, digits, same_weights

OPTIONS = {"optimiser": "hesso", "start": 0, "penalty": 0.001, "half_space": 0.95, "end": 0.5, "periods": 3}
COMMON = {
    "network": asdict(SPEC), "validation": 64, "calibration": 64, "device": "cpu",
    "engine": {"precision": "float32", "deterministic": True},
}  # fmt: skip
OUT = {"kept": "kept.json", "judged": "judged.csv", "history": "history.csv", "own": "own.pt"}


def test_what_misses_the_flops_is_refused_but_for_the_nearest_that_a_method_can_make(caplog):
    given = task({})
    whole = [np.arange(channels) for channels in given.graph.channels]
    flops = cost_of_graph(given.graph).flops
    with pytest.raises(InputError, match=f"its kept channels take {flops} FLOPs, 100.0% off"):
        settled(Learned(whole, [], []), given, "mine:select")
    kept = settled(Learned(whole, [], [], nearest=True), given, "mine:select")
    assert all(map(np.array_equal, kept, whole))
    assert f"{flops} FLOPs, +100.0 % off the {given.target_flops} to match" in caplog.text
    with pytest.raises(InputError, match="'mine:select': found channel 8 for the 8 channels of group 'conv1'"):
        settled(Learned([whole[0] + 1, *whole[1:]], [], [], nearest=True), given, "mine:select")


class ReachedError(Exception):
    """The training would begin here."""


@pytest.mark.parametrize("own", [True, False])
def test_a_full_training_starts_from_the_weights_that_the_method_says(tmp_path, tmp_path_factory, monkeypatch, own):
    known, started, elsewhere = task(OPTIONS), [], tmp_path_factory.mktemp("given")
    given = {name: elsewhere / f"{name}.json" for name in ("network", "base", "winner", "data")}
    save_graph(given["network"], known.graph, SPEC)
    save_base(given["base"], known.base, SPEC)
    write_json(given["winner"], {"flops": known.target_flops})
    given["data"].touch()

    def run(script: str, files: dict[str, Path], out: dict[str, str], cfg: dict) -> None:
        described = stand_in(tmp_path, files, out, COMMON | cfg, {"seed": "0", "method": "mine", "candidate": "1"})
        runpy.run_path(str(ROOT / f"scripts/{script}.py"), {"snakemake": described})

    def train_fully(network, *_, teacher):
        started.append(network)
        raise ReachedError

    monkeypatch.setattr("sacp.images.splits.load_splits", lambda *_: digits())
    monkeypatch.setattr("sacp.training.candidates.train_fully", train_fully)
    select = {
        "function": "sacp.baselines.oto:select", "space": {"levels": 10, "threshold": 0}, "options": OPTIONS,
        "own_weights": own, "selection": asdict(RECIPE),
    }  # fmt: skip
    run("train_baseline", given, OUT, select)
    inherited = tmp_path / "own.pt" if own else given["base"]
    full = {"recipe": asdict(RECIPE), "stream": "full"}
    with pytest.raises(ReachedError):
        run("train_candidate", given | {"kept": tmp_path / "kept.json", "base": inherited}, {}, full)

    ended, base = load_base(tmp_path / "own.pt", SPEC), known.base
    assert same_weights(ended, base) != own
    expected = prune(ended, known.graph, load_kept(tmp_path / "kept.json", known.graph))
    assert same_weights(started[0], expected)
    images = torch.randn(4, *SPEC.input_shape[1:])
    if own:
        with torch.no_grad():
            assert torch.allclose(expected.eval()(images), ended.eval()(images), atol=1e-5)
    [row] = load_tuned(tmp_path / "judged.csv")
    assert (row["flops"], row["failure"]) == (cost_of_graph(known.graph).flops, None)
    history = pd.read_csv(tmp_path / "history.csv")
    assert tuple(history) == HISTORY_COLUMNS
    assert len(history) == (2 if own else 1)
    assert not list(tmp_path.glob("resume/*/*"))
