"""Where the maps of a layer are read, on networks of all kinds, and the maps themselves."""

import pytest
import torch
import torch.nn.functional as F
from networks_zoo import CUSTOM_NETWORKS, CUSTOM_SHAPE, PAPER_NETWORKS, Custom, any_network, randomised_norms
from sacp.baselines.maps import look_at_maps, maps_read
from sacp.network.graph import CONV
from torch import Tensor, fx, nn


def maps_of(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    """The maps of a layer as the next one reads them."""
    traced, seen = fx.symbolic_trace(network), []
    look_at_maps(traced, [maps_read(traced, layer)], [images], lambda _, maps: seen.append(maps.clone()))
    assert len(seen) == 1
    return seen[0]


def blocks(rule) -> Custom:
    """A stem and a residual block of two convolutions, put together by a rule."""
    network = Custom(
        rule,
        stem=nn.Conv2d(3, 4, 3, padding=1),
        norm=nn.BatchNorm2d(4),
        inner=nn.Conv2d(4, 5, 3, padding=1),
        norm1=nn.BatchNorm2d(5),
        outer=nn.Conv2d(5, 4, 3, padding=1),
        norm2=nn.BatchNorm2d(4),
        relu=nn.ReLU(inplace=True),
        fc=nn.Linear(4, 2),
    )
    return randomised_norms(network).eval()


def after_activation(n, x):
    x = F.relu(n.norm(n.stem(x)))
    y = n.norm2(n.outer(F.relu(n.norm1(n.inner(x)))))
    y += x
    return n.fc(n.relu(y).mean((2, 3)))


def before_activation(n, x):
    x = n.stem(x)
    x = x + n.outer(torch.relu(n.norm1(n.inner(torch.relu(n.norm(x))))))
    return n.fc(F.adaptive_avg_pool2d(F.relu(n.norm2(x)), 1).flatten(1))


def without_activation(n, x):
    x = n.stem(x)
    x = x + n.outer(n.inner(x))
    return n.fc(x.mean((2, 3)).view(x.size(0), -1))


# What is read of each layer: the same sums, written down once more.
EXPECTED = {
    after_activation: {
        "stem": lambda n, x: F.relu(n.norm(n.stem(x))),
        "inner": lambda n, x: F.relu(n.norm1(n.inner(F.relu(n.norm(n.stem(x)))))),
        "outer": lambda n, x: F.relu(
            n.norm2(n.outer(F.relu(n.norm1(n.inner(F.relu(n.norm(n.stem(x)))))))) + F.relu(n.norm(n.stem(x)))
        ),
    },
    before_activation: {
        "stem": lambda n, x: F.relu(n.norm(n.stem(x))),
        "inner": lambda n, x: F.relu(n.norm1(n.inner(F.relu(n.norm(n.stem(x)))))),
        "outer": lambda n, x: F.relu(n.norm2(n.stem(x) + n.outer(F.relu(n.norm1(n.inner(F.relu(n.norm(n.stem(x))))))))),
    },
    without_activation: {
        "stem": lambda n, x: n.stem(x),
        "inner": lambda n, x: n.inner(n.stem(x)),
        "outer": lambda n, x: n.stem(x) + n.outer(n.inner(n.stem(x))),
    },
}


@pytest.mark.parametrize("layer", ["stem", "inner", "outer"])
@pytest.mark.parametrize("rule", EXPECTED)
def test_maps_are_those_that_the_next_layer_reads(rule, layer):
    network = blocks(rule)
    images = torch.randn(2, *CUSTOM_SHAPE[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = EXPECTED[rule][layer](network, images)
    torch.testing.assert_close(maps_of(network, layer, images), expected)


def test_maps_of_a_vgg_are_taken_before_the_pooling():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)).eval()
    images = torch.randn(2, *CUSTOM_SHAPE[1:])
    assert torch.equal(maps_of(network, "0", images), network[0](images).relu())


def test_a_depthwise_convolution_reads_the_maps_of_the_one_before_it():
    network, _, shape = any_network("depthwise")
    images = torch.randn(2, *shape[1:])
    network.eval()
    with torch.no_grad():
        assert torch.equal(maps_of(network, "0", images), network[:3](images))
        assert torch.equal(maps_of(network, "3", images), network[:6](images))
        assert torch.equal(maps_of(network, "6", images), network[:9](images))


@pytest.mark.parametrize("name", [*PAPER_NETWORKS, *CUSTOM_NETWORKS])
def test_every_layer_of_every_network_has_maps_of_its_channels(name):
    network, graph, shape = any_network(name)
    traced, sizes = fx.symbolic_trace(network.eval()), {}
    groups = [group for group in graph.groups if graph.node(group.layers[0]).kind == CONV]
    values = {layer: maps_read(traced, layer) for group in groups for layer in group.layers}
    look_at_maps(traced, values.values(), [torch.randn(2, *shape[1:])], lambda value, maps: sizes.update({value: maps}))
    for group in groups:
        for layer in group.layers:
            assert sizes[values[layer]].dim() == 4
            assert sizes[values[layer]].shape[:2] == (2, graph.node(layer).channels)


def test_a_layer_named_as_a_size_reads_the_maps():
    def forward(n, x):
        x = F.relu(n.conv(x))
        return n.fc((n.size(x) + x).mean((2, 3)))

    network = Custom(forward, conv=nn.Conv2d(3, 4, 1), size=nn.Conv2d(4, 4, 1), fc=nn.Linear(4, 2)).eval()
    images = torch.randn(CUSTOM_SHAPE)
    assert torch.equal(maps_of(network, "conv", images), F.relu(network.conv(images)))
