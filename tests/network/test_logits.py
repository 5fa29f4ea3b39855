"""What a network gives is looked at before it is trained: all other forms are refused by what they are."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks_zoo import Custom
from sacp.errors import InputError
from sacp.network.logits import check_logits
from torch import Tensor, nn

SHAPE, CLASSES = (1, 3, 8, 8), 10
EXPECTED = "expected one tensor [2, 10], a logit for each of the classes"


def logits(network: Any, x: Tensor) -> Tensor:
    return network.fc(x.mean((2, 3)))


def told_apart(network: Any, x: Tensor) -> Any:
    """Logits; in training, a second output too."""
    return (logits(network, x), x) if network.training else logits(network, x)


def failing(network: Any, x: Tensor) -> Tensor:
    raise SystemExit(0)


def refusal(rule: Callable[..., Any], outputs: int = CLASSES) -> str:
    with pytest.raises(InputError) as caught:
        check_logits("mine", Custom(rule, fc=nn.Linear(3, outputs)), SHAPE, CLASSES)
    return str(caught.value)


@pytest.mark.parametrize("training", [True, False])
def test_a_network_with_a_logit_per_class_passes_and_is_left_alone(training: bool):
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(3 * 64, 10)).train(training)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    check_logits("mine", network, SHAPE, CLASSES)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert network.training == training
    assert torch.equal(torch.get_rng_state(), drawn)


def test_images_differ_so_that_deviations_may_be_divided_by():
    check_logits("mine", Custom(lambda n, x: logits(n, x / x.std()), fc=nn.Linear(3, CLASSES)), SHAPE, CLASSES)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_images_are_of_the_networks_type(kind: torch.dtype):
    check_logits("mine", Custom(logits, fc=nn.Linear(3, CLASSES)).to(kind), SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("outputs", "rule", "found", "hint"),
    [
        (5, logits, "a tensor of shape [2, 5]", ""),
        (1000, logits, "a tensor of shape [2, 1000]", ""),
        (10, lambda n, x: logits(n, x)[:, :, None, None], "a tensor of shape [2, 10, 1, 1]", "; return y.flatten(1)"),
        (10, lambda n, x: x, "a tensor of shape [2, 3, 8, 8]", ""),
        (10, lambda n, x: logits(n, x).view(1, -1), "a tensor of shape [1, 20]", ""),
        (10, lambda n, x: logits(n, x).long(), "a tensor of shape [2, 10] and type torch.int64", ""),
        (10, lambda n, x: (logits(n, x), x), "a tuple of 2", "; return the logits alone"),
        (10, lambda n, x: [logits(n, x)], "a list of 1", "; return the logits alone"),
        (10, lambda n, x: {"out": logits(n, x)}, "a dict with the keys out", "; return the logits alone"),
        (10, lambda n, x: None, "nothing", "; does its forward end with `return`?"),
        (10, lambda n, x: "logits", "a str", ""),
    ],
)
def test_another_output_is_refused_with_what_it_is(outputs: int, rule: Callable[..., Any], found: str, hint: str):
    expected = f"mine in evaluation gives {found} for images of shape [2, 3, 8, 8], {EXPECTED}{hint}"
    assert refusal(rule, outputs) == expected


def test_training_is_looked_at_too():
    assert refusal(told_apart).startswith("mine in training gives a tuple of 2 for images")
    check_logits("mine", Custom(told_apart, fc=nn.Linear(3, CLASSES)), SHAPE, CLASSES, modes=(False,))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_are_finite(value: float):
    expected = "mine in evaluation gives NaN or infinite values for random images; expected finite logits"
    assert refusal(lambda n, x: logits(n, x) * value) == expected


@pytest.mark.parametrize(("rule", "words"), [(failing, "SystemExit: 0"), (lambda n, x: n.absent, "AttributeError: ")])
def test_a_network_that_fails_is_refused(rule: Callable[..., Any], words: str):
    expected = rf"^mine in evaluation fails on images of shape \[2, 3, 8, 8\] \({re.escape(words)}"
    assert re.match(expected, refusal(rule))
