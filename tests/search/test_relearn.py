"""What a search learns from its tuned candidates: checked against masses whose worth is known."""

import runpy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import ROOT, Checkout
from sacp.artefacts.files import write_csv
from sacp.network.graph import Graph, save_graph
from sacp.network.weights import save_base
from sacp.search import sensitivity
from sacp.search.files import attributes_of, load_scores, new_configs, save_scores
from sacp.search.ranked import ROW
from sacp.search.relearn import LEAST, Domain, learn
from sacp.tracing.trace import trace
from sacp.training.ranking import ACCURACY, TUNED_COLUMNS
from stand_in import stand_in
from torch import nn
from trainings import SPEC, fresh

WORTH = np.array([4.0, 0.0, -2.0, 1.0])


def tuned(number: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, masses and accuracies of networks that the score knows the half of."""
    rng = np.random.default_rng(seed)
    mass, scores = rng.normal(size=(number, len(WORTH))), rng.normal(size=number)
    return scores, mass, 50 + 3 * scores + mass @ WORTH + noise * rng.normal(size=number)


def test_what_the_masses_are_worth_is_found_and_cross_validation_says_so() -> None:
    lesson = learn(*tuned(40, 0.1))
    assert lesson is not None
    assert lesson.is_better
    assert lesson.error < 1 < 2 < lesson.error_of_score
    worth = lesson.model.ridge.coef_ / lesson.model.deviation
    assert worth == pytest.approx(WORTH, abs=0.3)
    scores, mass, accuracies = tuned(1000, 0, seed=1)
    assert np.corrcoef(lesson.model.predict(scores, mass), accuracies)[0, 1] > 0.99


def test_masses_that_say_nothing_are_not_used() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=30)
    refused = 0
    for seed in range(10):
        mass = np.random.default_rng(seed).normal(size=(30, 12))
        lesson = learn(scores, mass, 50 + 3 * scores + rng.normal(size=30))
        assert lesson is not None
        refused += not lesson.is_better
    assert refused >= 6


def test_nothing_is_learned_from_few_networks_or_from_a_group_that_does_not_vary() -> None:
    scores, mass, accuracies = tuned(LEAST, 0.1)
    assert learn(scores[1:], mass[1:], accuracies[1:]) is None
    mass[:, 1] = -0.7
    lesson = learn(scores, mass, accuracies)
    assert lesson is not None
    assert lesson.model.ridge.coef_[1] == pytest.approx(0, abs=1e-9)
    at_hand = lesson.model.predict(scores, mass, lesson.domain)
    assert np.isfinite(at_hand).all()
    mass[:, 1] = -0.71
    assert lesson.model.predict(scores, mass, lesson.domain) == pytest.approx(
        lesson.model.line.predict(scores[:, None])
    )


def test_far_from_what_was_tuned_the_line_in_the_score_stands_alone() -> None:
    scores, mass, accuracies = tuned(40, 0.1)
    lesson = learn(scores, mass, accuracies)
    assert lesson is not None
    line = lesson.model.line.predict(scores[:, None])
    near, far = mass * 0.9, mass + 30
    assert lesson.model.predict(scores, near, lesson.domain) == pytest.approx(lesson.model.predict(scores, near))
    assert lesson.model.predict(scores, far, lesson.domain) == pytest.approx(line)
    assert np.abs(lesson.model.predict(scores, far) - line).min() > 1


def test_the_domain_ends_where_the_farthest_network_that_was_left_out_lay() -> None:
    features, penalty = np.random.default_rng(0).normal(size=(12, 5)), 0.3
    left_out = []
    for number in range(len(features)):
        others = np.delete(features, number, axis=0)
        inverse = np.linalg.inv(others.T @ others + penalty * np.eye(5))
        left_out.append(features[number] @ inverse @ features[number])
    domain = Domain.of(features, penalty)
    assert domain.farthest == pytest.approx(max(left_out))
    assert domain.holds(features).all()
    assert not domain.holds(features * 100).any()


LEVELS, CANDIDATES, TUNED = 10, 40, 12
INVERSE = {"function": "sacp.search.sensitivity:linear", "settings": {"form": "inverse"}}


def written(folder: Path, base: nn.Module, graph: Graph, scores: np.ndarray, steps: np.ndarray) -> dict[str, Path]:
    """The inputs of `rescore_candidates`: some candidates were tuned, to accuracies that are a line in -ln(-S)."""
    given = {name: folder / f"{name}.json" for name in ("network", "base", "configs", "scores", "tuned")}
    save_graph(given["network"], graph, SPEC)
    save_base(given["base"], base, SPEC)
    with new_configs(given["configs"], steps[:1], CANDIDATES, attributes_of(graph, LEVELS, 0, 1, 0)) as search:
        search[:] = steps
    rows = np.zeros(CANDIDATES, ROW)
    rows["candidate"], rows["score"] = np.arange(CANDIDATES), scores
    save_scores(given["scores"], rows[np.argsort(-scores, kind="stable")])
    tuned = [
        {"rank": number, "candidate": number, ACCURACY: float(60 - 5 * np.log(-scores[number])), "failure": None}
        | {"flops": 1, "parameters": 1}
        for number in range(1, TUNED + 1)
    ]
    write_csv(given["tuned"], tuned, TUNED_COLUMNS)
    return given


@pytest.mark.parametrize("line", [{}, {"line": INVERSE}])
def test_the_line_of_a_score_without_bound_is_one_in_its_logarithm(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, line: dict[str, Any]
) -> None:
    base = fresh()
    graph = trace(base, SPEC.input_shape)
    steps = np.random.default_rng(0).integers(0, LEVELS, (CANDIDATES, len(graph.groups)), dtype=np.uint8)
    steps[0] = 0  # the unpruned network, of which S is 0
    values = sensitivity.values(base, graph, LEVELS, np.ones(len(graph.groups)))
    scores = values[np.arange(len(graph.groups)), steps].sum(axis=1).astype(np.float32)
    assert scores[0] == 0
    given = written(tmp_path_factory.mktemp("given"), base, graph, scores, steps)
    job = stand_in(tmp_path, given, {"scores": "rescored.parquet"}, {"network": asdict(SPEC)} | line)
    job.input.tuned = [str(given["tuned"])]
    runpy.run_path(str(ROOT / "scripts/rescore_candidates.py"), {"snakemake": job})
    found = load_scores(tmp_path / "rescored.parquet")
    assert sorted(found["candidate"]) == list(range(CANDIDATES))
    assert np.isfinite(found["score"]).all()
    told = Path(job.log[0]).read_text()
    error = float(told.split("left-out networks: error ")[1].split(" %")[0])
    assert (error == 0) if line else (error > 1)


@pytest.mark.workflow
def test_later_shards_are_ranked_by_what_the_first_have_taught(checkout: Checkout) -> None:
    path = checkout.path / "config/demo.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["defaults"]["base"]["epochs"] = 3
    settings["defaults"]["methods"] = {"log-mass": {"kind": "search", "score": "log-mass", "rerank": 0.4}}
    settings["defaults"]["search"] = {"keep": 5000}  # the others have no score
    settings["experiments"]["digits-resnet14"]["refine"] = {"top_m": 20, "top_k": 1, "shard_size": 10}
    path.write_text(yaml.safe_dump(settings))
    folder = "results/demo/digits-resnet14/seed0/log-mass"
    run = checkout.demo(f"{folder}/topm.csv")
    assert run.status == 0, run.output
    assert run.jobs.count("rescore_candidates") == 1
    results = checkout.path / folder
    scored, rescored = (pd.read_parquet(results / f"{name}.parquet") for name in ("scores", "rescored"))
    assert sorted(scored["candidate"]) == sorted(rescored["candidate"])
    assert (scored["candidate"][:10] == rescored["candidate"][:10]).all()
    topm = pd.read_csv(results / "topm.csv").sort_values("rank")
    assert topm["candidate"].tolist() == rescored["candidate"][:20].tolist()
    log = (checkout.path / "results/demo/logs/rescore_candidates/digits-resnet14-seed0-log-mass.log").read_text()
    is_anew = "ranked anew" in log
    assert is_anew != ("ranks stay" in log)
    assert is_anew != (scored["candidate"].tolist() == rescored["candidate"].tolist())
