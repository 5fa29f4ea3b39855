"""Evaluation of pruned networks from calibrated batch norms."""

import logging
from dataclasses import replace

import pytest
import torch
from sacp.images.batches import Normalizer
from sacp.network.calibration import calibrate
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.tracing.trace import trace
from sacp.training.candidates import train_fully, tune_candidates
from sacp.training.evaluation import FAR, Calibration, accuracy_percent, warn_if_far
from sacp.training.loop import train
from torch import nn
from trainings import RECIPE, SPEC, digits, fresh, same_weights

FEW = replace(RECIPE, epochs=1, lr=0.01, batch_size=64)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base() -> nn.Module:
    """Knows its digits by heart."""
    network = fresh()
    train(network, digits(), replace(RECIPE, epochs=15), 0, "base")
    return network.eval()


def slightly_pruned(network: nn.Module):
    graph = trace(network, (1, 1, 8, 8))
    return graph, kept_channels(l1_order(network, graph), [4 * channels // 5 for channels in graph.channels])


def test_a_pruned_network_is_far_better_from_calibrated_batch_norms(base):
    graph, kept = slightly_pruned(base)
    pruned = prune(base, graph, kept).eval()
    before = accuracy_percent(pruned, digits().train, digits())
    Calibration(digits(), 64, 0)(pruned)
    assert accuracy_percent(pruned, digits().train, digits()) > before + 20


def test_tuned_candidates_are_judged_from_calibrated_batch_norms(base):
    graph, kept = slightly_pruned(base)
    found = {}
    for images in (0, 64):
        rows, _ = tune_candidates(base, graph, {3: kept}, digits(), FEW, 0, CPU, Calibration(digits(), images, 0))
        found[images] = rows[0]["validation_accuracy_percent"]
    assert found[64] > found[0] + 10


def test_all_images_are_taken_where_there_are_fewer_and_none_augmented(base):
    network, other = fresh(), fresh()
    Calibration(digits(), 2000, 5)(network)
    numbers = torch.randperm(64, generator=torch.Generator().manual_seed(5))
    images = Normalizer(digits().mean, digits().std, CPU)(digits().train.images[numbers])
    calibrate(other, [images])
    assert same_weights(network, other)


def test_no_images_leave_the_network_alone():
    network = fresh()
    Calibration(digits(), 0, 0)(network)
    assert same_weights(network, fresh())


def test_the_network_that_is_kept_is_the_one_that_was_measured(base):
    network = fresh()
    recipe = replace(RECIPE, validate_every=1)
    metrics, history = train_fully(network, digits(), SPEC.input_shape, recipe, 0, "full", Calibration(digits(), 64, 0))
    assert metrics["validation_accuracy_percent"] == accuracy_percent(network, digits().validation, digits())
    assert metrics["validation_accuracy_percent"] == history[-1]["validation_accuracy_percent"]


@pytest.mark.parametrize("ema_decay", [0, 0.9])
def test_validating_along_the_way_changes_no_bit_of_the_training(ema_decay):
    recipe, networks = replace(RECIPE, ema_decay=ema_decay), [fresh(), fresh()]
    calibration = Calibration(digits(), 32, 0)
    for network, every in zip(networks, (0, 1), strict=True):
        train(network, digits(), replace(recipe, validate_every=every), 0, "run", calibration=calibration)
    assert same_weights(*networks)


def test_a_network_much_worse_on_validation_images_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        warn_if_far("candidate 7", [{"train_accuracy_percent": 90.0}], 90.0 - FAR)
        warn_if_far("untrained", [], 5.0)
        assert not caplog.messages
        warn_if_far("candidate 7", [{"train_accuracy_percent": 90.0}], 60.0)
    [message] = caplog.messages
    assert message.startswith("candidate 7: training accuracy 90.0 %, validation accuracy 60.0 %: ")
