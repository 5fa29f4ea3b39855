"""What the page says was asked, and which network is the best."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from configs import DEMO, demo
from sacp.report.opening import asked, best, best_method

BASE = {"training_images": 1222, "validation_images": 216}


DATA = {"text": "digits", "classes": 10, "channels": 1, "image_size": 8}
TEXTS = {
    "sacp": "the best of `m`",
    "log-mass": "the best of `m`",
    "sacp-2": "tuned",
    "l1": "one ratio",
    "fpgm": "one ratio",
}


def settings(**more: Any) -> dict[str, Any]:
    return demo()["experiments"][DEMO] | more


def test_the_question_names_network_data_target_and_methods():
    found = asked(settings(), DATA, TEXTS, [0, 1], BASE)
    assert found["Network"] == "resnet14"
    assert found["Data"] == "digits: 1,222 training images, 216 held out to choose by; 10 classes, 1 x 8 x 8"
    # SACP-2 is what a search has tuned, at whatever FLOPs.
    assert found["Target"] == ["pruning ratio of at least 0.4", "the FLOPs of the winner of sacp: log-mass, l1, fpgm"]
    assert found["Methods"] == ["sacp, log-mass: the best of m", "sacp-2: tuned", "l1, fpgm: one ratio"]
    assert found["Candidates"] == "the 20 best by score tuned, the best 3 of them trained fully"
    assert found["Seeds"] == "0, 1"


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ({"flops": 0.5}, "sacp: FLOPs at most 50 % of the base's"),
        ({"flops": [0.48, 0.5]}, "sacp: FLOPs 48 % of the base's to 50 % of the base's"),
        ({"parameters": 20000}, "sacp: parameters at most 20,000"),
    ],
)
def test_a_budget_is_said_in_words(budget, text):
    found = settings(search={"budget": budget}, space={"threshold": 0})
    found["network"] |= {"width": 0.5, "weights": "mine.pt"}
    answers = asked(found, DATA, TEXTS, [0], BASE)
    assert answers["Target"][0] == text
    assert answers["Network"] == "resnet14, width 0.5, from mine.pt"


def run(validation: float | None, flops: int, seed: int = 0) -> dict[str, Any]:
    folder = f"results/net/seed{seed}/m/winner"
    return {"validation_accuracy_percent": validation, "flops": flops, "validation_images": 200, "folder": folder}


def rows(**more: Any) -> pd.DataFrame:
    """Table 3 of a base and three methods."""
    table = {
        "method": ["Base", "a", "b", "c"],
        "top1_percent": [95.0, 90.0, 92.0, np.nan], "top1_std": [np.nan, 0.5, 0.5, 0],
        "change_percent": [0.0, -5.0, -3.0, np.nan], "flops_millions": [4.0, 1.0, 1.0, 1.0],
        "flops_pruned_percent": [0, 75.0, 75.0, 75.0], "params_millions": [2.0, 1.5, 1.5, 1.5],
        "params_pruned_percent": [0, 25.0, 25.0, 25.0],
    }  # fmt: skip
    return pd.DataFrame(table | more)


def test_the_best_is_chosen_by_images_held_out_and_of_several_the_smallest():
    assert best_method({"a": [run(90, 5), run(92, 5)], "b": [run(91, 4), run(91, 4)], "c": [run(90, 1)]}) == "b"
    assert best_method({"a": [run(None, 5)], "b": [run(80, 4)]}) == "b"
    assert best_method({"a": [run(None, 5)]}) is None
    assert best_method({}) is None


def test_the_best_network_stands_beside_its_base_with_its_files():
    winners = {"a": [run(97, 9), run(99, 9, 1)], "b": [run(98, 10)], "c": [run(None, 1)]}
    found = best(rows(**{"ms, eager": [4.0, 2.0, 3.0, 1.0], "times as fast, eager": [1.0, 2.0, 1.3, 4.0]}), winners)
    assert found["Method"] == [
        "a, 98.00 % of the 200 images held out to choose by (one image is 0.50 points)",
        "as good on them, with no fewer FLOPs: b",
        "the best on the test images is b, 92.00 %; chosen by these it would be flattered",
    ]
    assert found["Accuracy"] == "90.00 ± 0.50 % on the test images; base 95.00 %, -5.00 points"
    assert found["FLOPs"] == "1.00 M of 4.00 M (75.0 % pruned)"
    assert found["Parameters"] == "1.50 M of 2.00 M (25.0 % pruned)"
    assert found["Latency"] == ["eager: 2.00 ms, 2.00 times as fast as the base"]
    assert found["Files"][0] == "results/net/seed1/m/winner: network.safetensors, network.json"  # of its better seed


def test_a_run_without_latency_or_without_an_accuracy_says_no_more_than_it_knows():
    assert "Latency" not in best(rows(), {"a": [run(97, 9)]})
    assert best(rows(), {"a": [run(None, 9)]}) == {"Method": "none: no network has an accuracy"}
