"""What a search learns from its tuned candidates: checked against masses whose worth is known."""

import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import Checkout
from sacp.search.relearn import LEAST, Domain, learn

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
