"""Sensitivities against finite differences, by hand, and under what must not change them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks_zoo import CUSTOM_SHAPE, Custom, any_network, randomised_norms
from sacp.artefacts.files import write_json
from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.pruning import sensitivity as sensitivities
from sacp.pruning.sensitivity import Measurement, measure
from sacp.seeds import derive
from sacp.tracing.trace import trace
from torch import Tensor, nn

CHANNELS = CUSTOM_SHAPE[1]


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def images(number: int = 4, shape: tuple[int, ...] = CUSTOM_SHAPE) -> Tensor:
    return torch.randn(number, *shape[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def vectors(seed: int, number: int, classes: int, draws: int) -> Iterator[Tensor]:
    """What the logits are multiplied by, as the definition says."""
    generator = torch.Generator().manual_seed(derive(seed, 0))  # of the first batch
    for _ in range(draws):
        v = torch.randn((number, classes), generator=generator).double()
        yield v - v.mean(dim=1, keepdim=True)


def by_differences(network: nn.Module, graph: Graph, batch: Tensor, seed: int, draws: int) -> list[np.ndarray]:
    """E[(d (v . z) / d gate)^2] of each channel by central differences of the gates, an image at a time."""
    step, found = 1e-5, [np.zeros(channels) for channels in graph.channels]
    classes = network(batch).shape[1]
    first = np.cumsum([0, *graph.channels])
    for v in vectors(seed, len(batch), classes, draws):
        for group, channels in enumerate(graph.channels):
            for channel in range(channels):
                sides = []
                for sign in (1, -1):
                    gates = torch.ones(len(batch), int(first[-1]), dtype=torch.float64)
                    gates[:, first[group] + channel] += sign * step
                    with sensitivities._gated(network, graph, gates), torch.no_grad():
                        sides.append((network(batch) * v).sum(dim=1))
                slopes = (sides[0] - sides[1]) / (2 * step)  # [B]
                found[group][channel] += float((slopes**2).sum()) / (draws * len(batch))
    return found


@pytest.mark.parametrize("name", ["resnet8", "depthwise", "squeeze_excite", "flat"])
def test_sensitivities_are_those_of_finite_differences_of_the_gates(name: str) -> None:
    network, graph, shape = any_network(name)
    network = network.double().eval()
    batch = images(2, shape)
    found = measure(network, graph, [batch], seed=3, draws=2)
    expected = by_differences(network, graph, batch, 3, 2)
    for ours, theirs in zip(found.channels, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-9 * theirs.max())
    np.testing.assert_allclose(found.groups, [channels.sum() for channels in found.channels])


def test_a_plain_network_by_hand() -> None:
    """z = W (g * mean(conv(x))): the derivative for gate c is W_c times the mean, twice differentiable in nothing."""
    network = Custom(lambda n, x: n.fc(n.a(x).mean((2, 3))), a=conv(CHANNELS, 3), fc=nn.Linear(3, 2)).double().eval()
    graph, batch = trace(network, CUSTOM_SHAPE), images()
    found = measure(network, graph, [batch], seed=0, draws=1)
    (v,) = vectors(0, len(batch), 2, 1)
    means = network.a(batch).mean((2, 3)).detach()  # [B, 3]
    slopes = (v @ network.fc.weight.detach()) * means
    np.testing.assert_allclose(found.channels[0], (slopes**2).mean(dim=0).numpy())
    samples = (slopes**2).sum(dim=1).numpy()
    np.testing.assert_allclose(found.errors, [samples.std(ddof=1) / len(samples) ** 0.5])


def test_readers_share_a_gate_and_a_concatenation_gives_each_part_its_own() -> None:
    network = Custom(
        lambda n, x: n.fc(torch.cat([n.b(n.a(x)), n.c(n.a(x))], 1).mean((2, 3))),
        a=conv(CHANNELS, 2), b=conv(2, 3), c=conv(2, 4), fc=nn.Linear(7, 2),
    ).double().eval()  # fmt: skip
    graph, batch = trace(network, CUSTOM_SHAPE), images()
    assert graph.channels == [2, 3, 4]
    found = measure(network, graph, [batch], seed=0, draws=1)
    (v,) = vectors(0, len(batch), 2, 1)
    maps = network.a(batch).detach()
    weight = network.fc.weight.detach()
    for channel in range(2):  # through both readers: their slopes are added before they are squared
        alone = torch.zeros_like(maps)
        alone[:, channel] = maps[:, channel]
        both = torch.cat([network.b(alone) - network.b(0 * alone), network.c(alone) - network.c(0 * alone)], 1)
        slopes = ((v @ weight) * both.mean((2, 3)).detach()).sum(dim=1)
        assert found.channels[0][channel] == pytest.approx(float((slopes**2).mean()))
    parts = torch.cat([network.b(maps), network.c(maps)], 1).mean((2, 3)).detach()
    slopes = ((v @ weight) * parts) ** 2
    np.testing.assert_allclose(np.concatenate(found.channels[1:]), slopes.mean(dim=0).numpy())


def test_a_depthwise_layer_is_gated_once_where_the_next_dense_one_reads_it() -> None:
    network = Custom(
        lambda n, x: n.fc(n.deep(n.a(x)).mean((2, 3))),
        a=conv(CHANNELS, 3), deep=nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), fc=nn.Linear(3, 2),
    ).double().eval()  # fmt: skip
    graph, batch = trace(network, CUSTOM_SHAPE), images()
    found = measure(network, graph, [batch], seed=0, draws=1)
    (v,) = vectors(0, len(batch), 2, 1)
    means = network.deep(network.a(batch)).mean((2, 3)).detach()
    slopes = (v @ network.fc.weight.detach()) * means
    np.testing.assert_allclose(found.channels[0], (slopes**2).mean(dim=0).numpy())


def test_behind_a_flatten_the_gate_is_that_of_all_positions() -> None:
    network = Custom(lambda n, x: n.fc(n.a(x).flatten(1)), a=conv(CHANNELS, 2), fc=nn.Linear(2 * 64, 3))
    if CUSTOM_SHAPE[2:] != (8, 8):
        pytest.fail("the case is made for maps of 8 x 8")
    network = network.double().eval()
    graph, batch = trace(network, CUSTOM_SHAPE), images()
    found = measure(network, graph, [batch], seed=0, draws=1)
    (v,) = vectors(0, len(batch), 3, 1)
    maps, weight = network.a(batch).detach().flatten(2), network.fc.weight.detach().view(3, 2, 64)
    slopes = torch.einsum("bk,kcp,bcp->bc", v, weight, maps)
    np.testing.assert_allclose(found.channels[0], (slopes**2).mean(dim=0).numpy())


def test_relabelled_channels_take_their_sensitivities_along() -> None:
    network, graph, shape = any_network("flat")
    network = network.double().eval()
    before = measure(network, graph, [images(3, shape)], seed=0)
    order = torch.randperm(graph.channels[0])
    state = network.state_dict()
    assert graph.groups[0].layers == ("conv1",)
    for name in ("conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
        if name in state:
            state[name].copy_(state[name][order])
    state["conv2.weight"].copy_(state["conv2.weight"][:, order])
    after = measure(network, graph, [images(3, shape)], seed=0)
    np.testing.assert_allclose(after.channels[0], before.channels[0][order.numpy()])
    np.testing.assert_allclose(after.groups, before.groups)


def test_a_scale_that_the_batch_norm_takes_away_changes_nothing() -> None:
    network = Custom(
        lambda n, x: n.fc(torch.relu(n.bn(n.a(x))).mean((2, 3))), a=conv(CHANNELS, 3), bn=nn.BatchNorm2d(3, eps=1e-30),
        fc=nn.Linear(3, 2),
    )  # fmt: skip
    network = randomised_norms(network).double().eval()
    graph = trace(network, CUSTOM_SHAPE)
    before = measure(network, graph, [images()], seed=0)
    with torch.no_grad():
        network.a.weight.mul_(7)
        network.bn.running_mean.mul_(7)
        network.bn.running_var.mul_(49)
    after = measure(network, graph, [images()], seed=0)
    np.testing.assert_allclose(after.channels[0], before.channels[0])


def test_a_measurement_that_was_stopped_goes_on_to_the_same_bits() -> None:
    network, graph, shape = any_network("flat")
    network, batch = network.double().eval(), images(4, shape)
    parts = list(batch.split(1))
    through = measure(network, graph, parts, seed=0)
    kept = dict[str, Any]()
    total = Measurement(graph)

    def stop() -> None:
        if total.batches == 3:
            kept.update(total.state())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(network, graph, parts, seed=0, measured=total, after=stop)
    found = measure(network, graph, parts, seed=0, measured=Measurement(graph, kept))
    assert found.images == through.images == 4
    assert found.groups.tolist() == through.groups.tolist()
    assert [each.tolist() for each in found.channels] == [each.tolist() for each in through.channels]


def test_the_network_stays_as_it_is() -> None:
    network, graph, shape = any_network("resnet8")
    network.double().train()
    frozen = next(network.parameters()).requires_grad_(False)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    measure(network, graph, [images(2, shape)], seed=0)
    assert network.training
    assert [each for each in network.parameters() if not each.requires_grad] == [frozen]
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda n, x: (n.fc(n.a(x).mean((2, 3))),), "network: gives tuple for 4 images, expected logits"),
        (lambda n, x: n.a(x), "network: gives [4, 3, 8, 8] for 4 images, expected logits [4, classes]"),
        (lambda n, x: n.fc(n.a(x).mean((2, 3))) * float("nan"), "network: the logits' gradients for group 'a' are not"),
    ],
)  # fmt: skip
def test_a_network_without_logits_is_refused(forward, message: str) -> None:
    layers = {"a": conv(CHANNELS, 3), "fc": nn.Linear(3, 2)}
    graph = trace(Custom(lambda n, x: n.fc(n.a(x).mean((2, 3))), **layers), CUSTOM_SHAPE)
    network = Custom(forward, **layers).double().eval()
    with pytest.raises(InputError) as caught:
        measure(network, graph, [images()], seed=0)
    assert str(caught.value).startswith(message)


def test_no_images_are_refused() -> None:
    network, graph, _ = any_network("flat")
    with pytest.raises(InputError, match="images: found no batch of training images to measure the sensitivity"):
        measure(network, graph, [], seed=0)


def test_a_file_of_sensitivities_is_that_of_its_network(tmp_path: Path) -> None:
    network, graph, shape = any_network("flat")
    found = measure(network.eval(), graph, [images(2, shape).float()], seed=0)
    write_json(tmp_path / "sensitivity.json", sensitivities.to_json(found, graph))
    assert sensitivities.load(tmp_path / "sensitivity.json", graph).tolist() == found.groups.tolist()
    with pytest.raises(InputError, match=r"sensitivity\.json: sensitivities of the groups .* expected those of this"):
        sensitivities.load(tmp_path / "sensitivity.json", any_network("resnet8")[1])
