"""Networks evaluated before any tuning."""

import math
import os
import signal

import numpy as np
import pytest
import torch
from sacp.compute.resume import Sidecar
from sacp.errors import InputError
from sacp.pruning.criteria import kept_of, l1_order
from sacp.search.spectral_capacity import of_network
from sacp.tracing.trace import trace
from sacp.training import probes
from sacp.training.evaluation import Calibration
from sacp.training.zero_cost import synflow
from trainings import digits, fresh

NUMBER = 5


def probed(sidecar: Sidecar | None = None, **zero_cost: str) -> list[dict[str, object]]:
    base = fresh()
    graph = trace(base, (1, 1, 8, 8))
    order, steps = l1_order(base, graph), np.random.default_rng(0).integers(3, 10, (NUMBER, len(graph.groups)))
    kept = [kept_of(row.astype(np.uint8), order, graph, 10) for row in steps]
    device, calibration = torch.device("cpu"), Calibration(digits(), 32, 0)
    return probes.probe(base, graph, kept, digits(), calibration, device, sidecar, zero_cost)


@pytest.mark.parametrize("number", range(NUMBER))
def test_networks_that_were_probed_before_a_signal_are_not_probed_again(tmp_path, monkeypatch, number):
    expected, measured, real = probed(), [], probes.accuracy_percent

    def count(*arguments):
        measured.append(arguments)
        if len(measured) == 2 * number + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(probes, "accuracy_percent", count)
    with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
        probed(Sidecar(tmp_path / "state.pt", "key", 1e9))
    assert probed(Sidecar(tmp_path / "state.pt", "key")) == expected
    assert len(measured) == 2 * NUMBER
    assert [row["candidate"] for row in expected] == list(range(NUMBER))
    assert any(row["untuned_accuracy_percent"] != row["calibrated_accuracy_percent"] for row in expected)


def test_zero_cost_predictors_are_those_of_the_calibrated_networks_and_change_no_accuracies(monkeypatch):
    seen, real = [], probes.of_all

    def keep(predictors, network, images, seed):
        seen.append((network, images, real(predictors, network, images, seed)))
        return seen[-1][2]

    monkeypatch.setattr(probes, "of_all", keep)
    rows = probed(synflow="sacp.training.zero_cost:synflow", nsc="sacp.search.spectral_capacity:of_network")
    plain = probed()
    for row, without, (network, images, expected) in zip(rows, plain, seen, strict=False):
        assert row == without | expected
        assert expected["nsc"] == of_network(network)
        assert expected["synflow"] == synflow(network, images, 0)
        assert len(images) == len(digits().train.labels)
    assert len({row["synflow"] for row in rows}) == NUMBER


def test_a_predictor_that_is_no_number_is_refused():
    def nothing(network, images, seed):
        return math.nan

    with pytest.raises(InputError, match=r"^predictor 'mine': found nan, expected a number$"):
        probes.of_all([("mine", nothing)], torch.nn.Identity(), torch.zeros(1), 0)
