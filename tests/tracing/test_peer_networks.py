"""The kinds of networks that Torch-Pruning's own tests prune, each written anew: exact here, or refused in one line."""

import re
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from networks_zoo import Custom, assert_exact
from sacp.errors import InputError
from sacp.pruning.proof import rehearse
from sacp.tracing.trace import trace
from torch import nn

MAPS, VECTOR = (1, 6, 7, 7), (1, 32)


def convs(*channels: int) -> nn.Sequential:
    """Convolutions of one position with batch norms, and an activation between them."""
    layers = []
    for before, after in pairwise(channels):
        layers += [nn.GELU(), nn.Conv2d(before, after, 1), nn.BatchNorm2d(after)]
    return nn.Sequential(*layers[1:])


def cascaded_concatenation() -> nn.Module:
    def forward(n, x):
        both = torch.cat([n.first(x), n.second(x)], dim=1)
        three = torch.cat([both, n.third(x)], dim=1)
        return n.output(torch.cat([three, n.fourth(x)], dim=1))

    parts = {"first": convs(6, 6, 6), "second": convs(6, 12, 12), "third": convs(6, 18), "fourth": convs(6, 36)}
    return Custom(forward, **parts, output=nn.Conv2d(72, 10, 1))


def wide_and_deep() -> nn.Module:
    def forward(n, x):
        x = x.reshape(x.shape[0], -1)
        return torch.sigmoid(n.last(torch.concat([n.wide(x), n.deep(x)], dim=-1)))

    deep = [nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 8), nn.BatchNorm1d(8)]
    return Custom(
        forward, wide=nn.Linear(32, 3), deep=nn.Sequential(*deep, nn.ReLU(), nn.Linear(8, 1)), last=nn.Linear(4, 1)
    )


def concatenation_of_a_part() -> nn.Module:
    """Sizes of a split come from layers that may be cut."""

    def forward(n, x):
        beside, x = n.beside(x), n.first(x)
        own = n.second[0].in_channels - n.beside[-1].num_features
        one, other = torch.split(x, (own, n.first[-1].num_features - own), 1)
        return n.second(torch.cat([one, beside], dim=1)) + other

    return Custom(forward, first=convs(6, 6, 12), beside=convs(6, 6, 6), second=convs(12, 6))


class Scaled(nn.Module):
    """Features of length 1, scaled by parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.rand(width)), nn.Parameter(torch.rand(width))
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return self.fc(x / x.pow(2).sum(dim=1, keepdim=True).sqrt() * self.scale + self.bias)


def custom_layer() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 16), nn.ReLU(), Scaled(16), nn.Linear(16, 10))


def unused_parameter() -> nn.Module:
    network = Custom(lambda n, x: n.last(n.scaled(F.relu(n.first(x)))), first=nn.Linear(32, 16), scaled=Scaled(16))
    network.last, network.unused = nn.Linear(16, 10), nn.Parameter(torch.rand(10))
    return network


def lenet() -> nn.Module:
    def forward(n, x):
        x = n.maps(x)
        return n.classifier(x.view(x.shape[0], -1))

    maps = [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    linear = [nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10), nn.ReLU()]
    return Custom(forward, maps=nn.Sequential(*maps), classifier=nn.Sequential(*linear))


def linear_with_a_shortcut() -> nn.Module:
    def forward(n, x):
        x = F.relu(n.first(x))
        return n.last(F.relu(n.second(x)) + x)

    return Custom(forward, first=nn.Linear(32, 16), second=nn.Linear(16, 16), last=nn.Linear(16, 10))


def two_inputs() -> nn.Module:
    class TwoInputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(32, 8), nn.Linear(16, 8), nn.Linear(16, 10)

        def forward(self, one, other):
            return self.last(torch.cat([F.relu(self.first(one)), F.relu(self.second(other))], dim=1))

    return TwoInputs()


def concatenation_of_positions() -> nn.Module:
    def forward(n, x):
        one, other = n.first(x), n.second(x)
        x = n.third(torch.cat([one, other], dim=2))
        one, _ = torch.split(x, [one.shape[2], other.shape[2]], dim=2)
        return n.last(one)

    parts = {"first": convs(6, 6, 6), "second": convs(6, 6, 6)}
    return Custom(forward, **parts, third=nn.Conv2d(6, 6, 1), last=nn.Conv2d(6, 6, 1))


def maps_of_a_vector() -> nn.Module:
    """A linear layer's outputs become maps, whose number is read from the layer that follows."""

    def forward(n, x):
        x = F.relu(n.first(x)).view(-1, n.up.in_channels, 4, 4)
        return n.last(torch.flatten(F.relu(n.up2(F.relu(n.up(x)))), 1))

    ups = {"up": nn.ConvTranspose2d(8, 6, 4, 2, 1), "up2": nn.ConvTranspose2d(6, 4, 4, 2, 1)}
    return Custom(forward, first=nn.Linear(32, 128), **ups, last=nn.Linear(1024, 10))


def one_output_channel() -> nn.Module:
    def forward(n, x):
        return n.last(F.relu(n.second(F.relu(n.first(x)))))

    return Custom(forward, first=convs(6, 8), second=nn.Conv2d(8, 16, 2, 2), last=convs(16, 1))


def split_in_three() -> nn.Module:
    """One block reads two of the parts."""

    def forward(n, x):
        width, rest = n.narrow[0].in_channels, n.wide[0].in_channels
        one, two, three = torch.split(n.first(x), [width, width, rest], dim=1)
        return n.narrow(one), n.narrow(two), n.wide(three)

    return Custom(forward, first=convs(6, 6, 24), narrow=convs(6, 6), wide=convs(12, 6))


def transposed() -> nn.Module:
    layers = [nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 16, 2, 2), nn.BatchNorm2d(16)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(16, 5, 3), nn.BatchNorm2d(5), nn.ReLU())


def shortcut_in_place() -> nn.Module:
    def forward(n, x):
        x = skip = n.first(x)
        x = n.third(n.second(x))
        x += skip
        return x

    return Custom(forward, first=nn.Conv2d(6, 8, 3), second=nn.Conv2d(8, 5, 1), third=nn.Conv2d(5, 8, 1))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (cascaded_concatenation, MAPS), (wide_and_deep, VECTOR), (concatenation_of_a_part, MAPS),
        (lenet, (1, 1, 28, 28)), (linear_with_a_shortcut, VECTOR), (concatenation_of_positions, MAPS),
        (one_output_channel, (1, 6, 8, 8)), (split_in_three, MAPS), (transposed, MAPS), (shortcut_in_place, MAPS),
        (maps_of_a_vector, VECTOR), (custom_layer, VECTOR),
    ],
)  # fmt: skip
def test_networks_of_many_kinds_are_exact(build, shape):
    torch.manual_seed(0)
    assert_exact(build(), shape)


def test_an_unused_parameter_is_left_as_it_is():
    graph = rehearse(unused_parameter(), VECTOR)  # which proves it
    assert [group.layers for group in graph.groups] == [("scaled.fc",)]  # a sum runs over what the first gives


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (two_inputs, VECTOR, "TwoInputs fails on an input of shape"),
    ],
)
def test_others_are_refused_by_name(build, shape, message):
    with pytest.raises(InputError) as caught:
        trace(build(), shape)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)
