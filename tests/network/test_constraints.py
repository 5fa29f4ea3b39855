import numpy as np
import pytest
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from sacp.errors import InputError
from sacp.network.constraints import Constraints, ignored
from sacp.network.graph import from_json, to_json
from sacp.pruning.space import kept_counts
from sacp.tracing.trace import traced

LAYERS = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer10.0.conv1"]
SHAPE = (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["conv1"], ["conv1"]),
        (["layer1"], LAYERS[1:4]),
        (["layer1.0"], LAYERS[1:3]),
        (["*.conv1"], [LAYERS[1], LAYERS[3], LAYERS[4]]),
        (["layer1.*.conv1", "conv1"], [LAYERS[0], LAYERS[1], LAYERS[3]]),
        (["layer?"], LAYERS[1:4]),
        ([], []),
    ],
)
def test_a_pattern_is_of_layers_or_of_modules_that_they_are_in(patterns: list[str], expected: list[str]) -> None:
    assert ignored(Constraints(ignore=tuple(patterns)), LAYERS) == expected


def test_a_pattern_that_fits_nothing_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"^ignore: found 'layer1.0.conv3', .* nearest is 'layer1.0.conv[12]'$"):
        ignored(Constraints(ignore=("layer1.0.conv3",)), LAYERS)
    with pytest.raises(InputError, match=r"^ignore: found 'layer1. conv3', which no convolution, [^\n]*$"):
        ignored(Constraints(ignore=("layer1.\nconv3",)), LAYERS)


@pytest.mark.parametrize(
    ("round_to", "at_least", "channels", "copies", "expected"),
    [
        (1, 1, 64, (1,), (1, 1)),
        (8, 1, 64, (1,), (8, 8)),
        (8, 12, 64, (1, 1), (16, 8)),  # the next multiple
        (8, 1, 6, (1,), (6, 8)),  # narrower than a multiple: whole
        (8, 1, 16, (4,), (2, 2)),  # layers four times as wide as the group
        (8, 1, 16, (4, 2), (4, 4)),
        (8, 1, 16, (3,), (8, 8)),
        (1, 0.3, 10, (1,), (3, 1)),
        (1, 0.25, 10, (1,), (3, 1)),  # no fewer
        (1, 10, 16, (4,), (3, 1)),  # 3 times 4 channels
        (1, 500, 64, (1,), (64, 1)),
        (8, 0.9, 60, (1,), (56, 8)),
        (8, 0.95, 60, (1,), (60, 8)),  # 57, which only the whole is a multiple of
    ],
)
def test_least_and_multiple_of_a_group(
    round_to: int, at_least: float, channels: int, copies: tuple[int, ...], expected: tuple[int, int]
) -> None:
    assert Constraints((), round_to, at_least).bounds(channels, copies) == expected


@given(st.integers(1, 32), st.one_of(st.integers(1, 80), st.floats(0.01, 0.99)), st.integers(2, 20))
def test_all_widths_of_a_network_keep_the_constraints(round_to: int, at_least: float, levels: int) -> None:
    graph = TRACED[0]
    for group in graph.groups:
        least, multiple = Constraints((), round_to, at_least).bounds(group.channels, group.copies)
        one = type(graph)(
            (), (), (type(group)(group.name, group.layers, group.channels, group.copies, least, multiple),)
        )
        for step in range(levels):
            kept = int(kept_counts([step], one, levels)[0])
            assert kept == group.channels or kept % round_to == 0
            assert kept >= min(group.channels, at_least if at_least >= 1 else at_least * group.channels - 1e-9)
            assert kept <= group.channels
            free = max(1, (levels - step) * group.channels // levels)
            assert kept <= max(free, least), "fewer are kept than the ratio says, unless the least is more"


TRACED = [traced(torchvision.models.resnet18(), SHAPE).graph]


def test_ignored_layers_are_in_no_group_and_those_that_go_with_them_neither() -> None:
    free = TRACED[0]
    found = traced(torchvision.models.resnet18(), SHAPE, Constraints(ignore=("layer1.0.conv2", "layer3.0.conv1")))
    inside = {layer for group in found.graph.groups for layer in group.layers}
    with_them = {layer for group in free.groups if "layer1.0.conv2" in group.layers for layer in group.layers}
    every = {layer for group in free.groups for layer in group.layers}
    assert inside == every - with_them - {"layer3.0.conv1"}
    assert any("'layer1.0.conv2' and 1 more are to be ignored" in why for why in found.stays)


def test_constraints_are_in_the_file_of_the_graph() -> None:
    graph = traced(torchvision.models.resnet18(), SHAPE, Constraints(round_to=16, at_least=0.5)).graph
    assert from_json(to_json(graph)) == graph
    assert np.array_equal(graph.least, np.array(graph.channels) // 2)
    assert set(graph.rounding) == {16}
