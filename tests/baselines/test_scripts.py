"""From the choice of channels to the training: what `select_baseline` writes, `train_candidate` starts from."""

import json
import runpy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from sacp.artefacts.files import write_json
from sacp.catalogue.criteria import CRITERIA
from sacp.network.cost import costs_of_counts
from sacp.network.graph import save_graph
from sacp.network.surgery import prune
from sacp.network.weights import save_base
from sacp.pruning.files import load_kept
from sacp.pruning.ordering import Ordering
from sacp.search.files import attributes_of, new_configs
from sacp.seeds import derive
from sacp.tracing.trace import trace
from stand_in import stand_in
from trainings import RECIPE, SPEC, digits, fresh, same_weights

NETWORK = {"network": asdict(SPEC), "validation": 64}
ENGINE = {"precision": "float32", "deterministic": True}
TRAINING = {"recipe": asdict(RECIPE), "stream": "full", "engine": ENGINE, "calibration": 0, "device": "cpu"}


class ReachedError(Exception):
    """The training would begin here."""


@pytest.mark.parametrize("criterion", ["l1", "thinet"])
def test_a_training_starts_from_the_kept_weights_rescaled_if_the_criterion_says_so(
    tmp_path, tmp_path_factory, monkeypatch, criterion
):
    base = fresh()
    graph, started = trace(base, SPEC.input_shape), []
    target = int(costs_of_counts(graph, np.array(graph.channels)[None] // 2)[0][0])
    elsewhere = tmp_path_factory.mktemp("given")
    given = {name: elsewhere / f"{name}.json" for name in ("network", "base", "winner", "data")}
    save_graph(given["network"], graph, SPEC)
    save_base(given["base"], base, SPEC)
    write_json(given["winner"], {"flops": target})
    given["data"].touch()

    def run(script: str, files: dict[str, Path], out: dict[str, str], cfg: dict) -> None:
        described = stand_in(tmp_path, files, out, NETWORK | cfg, {"seed": "0", "method": "mine", "candidate": "1"})
        runpy.run_path(str(ROOT / f"scripts/{script}.py"), {"snakemake": described})

    def train_fully(network, *_, teacher):
        started.append((network, teacher))
        raise ReachedError

    monkeypatch.setattr("sacp.images.splits.load_splits", lambda *_: digits())
    monkeypatch.setattr("sacp.training.candidates.train_fully", train_fully)
    chosen = {"function": CRITERIA[criterion].function, "images": min(40, CRITERIA[criterion].images)}
    select = {"function": "sacp.baselines.uniform:select", "space": {"levels": 10, "threshold": 0}}
    run("select_baseline", given, {"kept": "kept.json"}, select | {"criterion": chosen})
    with pytest.raises(ReachedError):
        run("train_candidate", given | {"kept": tmp_path / "kept.json"}, {}, TRAINING)

    written = json.loads((tmp_path / "kept.json").read_text())
    assert list(written) == (["kept", "scales"] if criterion == "thinet" else ["kept"])
    kept = load_kept(tmp_path / "kept.json", graph)
    scales = [np.array(factors) for factors in written["scales"].values()] if criterion == "thinet" else None
    expected, plain = prune(base, graph, kept, scales).state_dict(), prune(base, graph, kept).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in started[0][0].state_dict().items())
    assert same_weights(started[0][1], base)
    different = [name for name in plain if not torch.equal(plain[name], expected[name])]
    assert bool(different) == (criterion == "thinet")


@pytest.mark.parametrize("criterion", ["l1", "fpgm", "thinet"])
def test_a_candidate_is_tuned_and_trained_from_the_same_channels_of_its_criterion(
    tmp_path, tmp_path_factory, monkeypatch, criterion
):
    base = fresh()
    graph, elsewhere, seen = trace(base, SPEC.input_shape), tmp_path_factory.mktemp("given"), []
    steps = np.full((1, len(graph.groups)), 4, np.uint8)
    given = {name: elsewhere / name for name in ("network", "base", "data", "configs")}
    save_graph(given["network"], graph, SPEC)
    save_base(given["base"], base, SPEC)
    with new_configs(given["configs"], steps, 1, attributes_of(graph, 10, 0.0, 1, 0)) as search:
        search[:] = steps
    given["data"].touch()

    def reached(network, *_, **__):
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        raise ReachedError

    monkeypatch.setattr("sacp.images.splits.load_splits", lambda *_: digits())
    monkeypatch.setattr("sacp.training.candidates.train", reached)
    known = CRITERIA[criterion]
    chosen = {"criterion": {"function": known.function, "images": min(40, known.images)}} if criterion != "l1" else {}
    for script, more in (("tune_shard", {"tune": asdict(RECIPE)}), ("train_candidate", {})):
        numbers = {"seed": "0", "method": "mine", "candidate": "0", "first": "0", "last": "0"}
        described = stand_in(tmp_path, given, {}, NETWORK | TRAINING | more | chosen, numbers)
        with pytest.raises(ReachedError):
            runpy.run_path(str(ROOT / f"scripts/{script}.py"), {"snakemake": described})
    ordering = Ordering(base.eval(), graph, chosen.get("criterion"), digits(), derive(0, "criterion"))
    kept = ordering.kept(steps[0], 10)
    scales = ordering.scales(kept)
    expected = prune(base, graph, kept, scales).state_dict()
    assert (scales is None) == (criterion != "thinet")
    for started in seen:
        assert all(torch.equal(tensor, expected[name]) for name, tensor in started.items())
    by_norm = prune(base, graph, Ordering(base, graph, None, None, 0).kept(steps[0], 10)).state_dict()
    assert (criterion == "l1") == all(torch.equal(tensor, by_norm[name]) for name, tensor in expected.items())
