"""Zero-cost predictors: cases by hand, and what holds of all of them."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from networks_zoo import Custom, any_network
from sacp import imports
from sacp.catalogue.predictors import ZERO_COST
from sacp.errors import InputError
from sacp.training import zero_cost
from torch import nn


def linear(*weights: list[list[float]], between: nn.Module | None = None) -> nn.Module:
    """Linear layers of these weights, with a module after each but the last."""
    layers = list[nn.Module]()
    for rows in weights:
        layer = nn.Linear(len(rows[0]), len(rows), bias=False)
        layer.weight.data = torch.tensor(rows)
        layers += [layer, copy.deepcopy(between)] if between and rows is not weights[-1] else [layer]
    return nn.Sequential(*layers).eval()


def test_synflow_by_hand() -> None:
    """R = 1' |W2| |W1| 1 = 3 * (1 + 2) + 1 * (3 + 4) = 16, and the sum over a layer's weights is R for each of two."""
    network = linear([[1.0, -2.0], [-3.0, 4.0]], [[-3.0, 1.0]], between=nn.ReLU())
    assert zero_cost.synflow(network, torch.zeros(5, 2), 0) == pytest.approx(math.log(32))


def test_synflow_leaves_batch_norms_out() -> None:
    network = linear([[1.0, -2.0], [-3.0, 4.0]], [[-3.0, 1.0]], between=nn.BatchNorm1d(2, eps=0.5))
    assert zero_cost.synflow(network, torch.zeros(5, 2), 0) == pytest.approx(math.log(32))


def test_naswot_by_hand() -> None:
    """Of three units the images switch (1, 0, 1), (1, 1, 0) and (0, 1, 1): two of them agree in one, each in three."""
    network = linear([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[1.0, 1, 1]], between=nn.ReLU(inplace=True))
    images = torch.tensor([[1.0, -1, 1], [1, 1, -1], [-1, 1, 1]])
    kernel = torch.tensor([[3.0, 1, 1], [1, 3, 1], [1, 1, 3]])
    assert zero_cost.naswot(network, images, 0) == pytest.approx(float(kernel.logdet()))


def test_naswot_is_minus_infinity_where_two_images_look_alike_and_refuses_networks_without_units() -> None:
    weights = [[1.0, 0], [0, 1]], [[1.0, 1]]
    images = torch.tensor([[1.0, 2], [2, 1]])
    assert zero_cost.naswot(linear(*weights, between=nn.ReLU()), images, 0) == -math.inf
    with pytest.raises(InputError, match=r"^predictor 'naswot': the network has no activation"):
        zero_cost.naswot(linear(*weights), images, 0)


def test_near_by_hand() -> None:
    """Two even directions count as two, one as one; shares 3/4 and 1/4 as exp of their entropy."""
    identity = [[1.0, 0], [0, 1]]
    network = linear(identity, [[3.0, 0], [0, 1]], [[1.0, 1], [1, 1]], between=nn.ReLU())
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    expected = 2 + 2 + 2 * math.exp(entropy) + 1
    assert zero_cost.near(network, torch.eye(2), 0) == pytest.approx(expected)


def test_near_takes_positions_as_rows_and_zeros_as_nothing() -> None:
    conv = nn.Conv2d(1, 2, 1, bias=False).eval()
    conv.weight.data = torch.tensor([1.0, 0]).view(2, 1, 1, 1)
    images = torch.tensor([[[[1.0, 5.0], [7.0, 2.0]]]])
    assert zero_cost.near(conv, images, 0) == pytest.approx(1)
    assert zero_cost.near(conv, torch.zeros(1, 1, 2, 2), 0) == 0


def test_zen_is_how_much_the_last_maps_change_whatever_batch_norms_divide_by() -> None:
    """A convolution of one channel and one weight w changes by 0.01 |w| for each of 16 positions and deviation of e."""
    shape = torch.zeros(1, 1, 4, 4)
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)
    found = zero_cost.zen(conv.eval(), shape, 3)
    torch.manual_seed(3)
    logs = []
    for _ in range(zero_cost.ZEN_DRAWS):
        weight = torch.randn(1, 1, 1, 1).abs().item()
        torch.randn(16, 1, 4, 4)
        logs.append(math.log(0.01 * weight * torch.randn(16, 1, 4, 4).abs().sum((1, 2, 3)).mean()))
    assert found == pytest.approx(sum(logs) / len(logs), rel=1e-3)
    normed = zero_cost.zen(nn.Sequential(conv, norm).eval(), shape, 3)
    assert normed == pytest.approx(found, abs=0.05)


@pytest.mark.parametrize("predictor", ZERO_COST)
@pytest.mark.parametrize("name", ["resnet8", "flat", "squeeze_excite", "depthwise"])
def test_predictors_change_no_network_and_no_random_numbers(predictor: str, name: str) -> None:
    network, _, shape = any_network(name)
    network.eval()
    before = copy.deepcopy(network.state_dict())
    images = torch.randn(64, *shape[1:], generator=torch.Generator().manual_seed(0))
    rng, function = torch.random.get_rng_state(), imports.load(ZERO_COST[predictor].function)
    found = [function(network, images, 1) for _ in range(2)]
    assert found[0] == found[1]
    assert math.isfinite(found[0])
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(rng, torch.random.get_rng_state())


@pytest.mark.parametrize("predictor", ZERO_COST)
def test_a_wider_network_has_more(predictor: str) -> None:
    function = imports.load(ZERO_COST[predictor].function)
    images, found = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0)), []
    for width in (2, 8, 32):
        torch.manual_seed(0)
        network = Custom(
            lambda n, x: n.classifier(F.relu(n.second(F.relu(n.first(x)))).mean((2, 3))),
            first=nn.Conv2d(3, width, 3, padding=1), second=nn.Conv2d(width, width, 3, padding=1),
            classifier=nn.Linear(width, 10),
        ).eval()  # fmt: skip
        for module in (network.first, network.second, network.classifier):
            nn.init.normal_(module.weight)
        found.append(function(network, images, 0))
    assert found == sorted(found)
