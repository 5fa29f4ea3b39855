"""Small networks and helpers that several tests share."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import thop
import torch
import torch.nn.functional as F
from sacp.network.architectures import build
from sacp.network.cost import costs_of_counts
from sacp.network.graph import LINEAR, Graph, Group, Kept, from_json, kept_elements, to_json
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune, resized
from sacp.pruning.criteria import Norms, Order, kept_channels, random_order
from sacp.pruning.space import kept_counts
from sacp.tracing.trace import count, trace
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves
from torchvision.ops import StochasticDepth

PAPER_NETWORKS = ("vgg16", "resnet18", "resnet56")
CUSTOM_SHAPE = (1, 3, 8, 8)


class Custom(nn.Module):
    """Layers by name, and the forward as a function of the network and its input."""

    def __init__(self, rule: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.rule = rule
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.rule(self, x)


def spec(name: str, width: float = 1.0, image_size: int = 32) -> NetworkSpec:
    return NetworkSpec(name, width, 3, image_size, 10)


def built(name: str, width: float = 1.0, image_size: int = 32) -> tuple[nn.Module, Graph]:
    """Build and trace a named network."""
    made = spec(name, width, image_size)
    network = build(made)
    return network, trace(network, made.input_shape)


def flat(num_classes: int = 10) -> nn.Module:
    """Two convolutions, then a flatten of 2x2 positions per channel."""
    return Custom(
        lambda n, x: n.classifier(
            F.max_pool2d(torch.relu(n.norm2(n.conv2(F.relu(n.norm1(n.conv1(x)))))), 4).view(x.size(0), -1)
        ),
        conv1=nn.Conv2d(3, 6, 3, padding=1, bias=False),
        norm1=nn.BatchNorm2d(6),
        conv2=nn.Conv2d(6, 5, 3, padding=1),
        norm2=nn.BatchNorm2d(5),
        classifier=nn.Linear(5 * 4, num_classes),
    )


def depthwise(num_classes: int = 10) -> nn.Module:
    """A separable convolution: stem, depthwise, pointwise."""
    layers = [
        nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
        nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=12), nn.BatchNorm2d(12), nn.Hardswish(),
        nn.Conv2d(12, 7, 1), nn.BatchNorm2d(7), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(7, num_classes),
    ]  # fmt: skip
    return nn.Sequential(*layers)


def squeeze_excite(num_classes: int = 10) -> nn.Module:
    """A gate per channel, computed from the pooled features by a 1x1 bottleneck, multiplies the features."""

    def forward(n: Any, x: Tensor) -> Tensor:
        x = F.silu(n.norm(n.conv(x)))
        gate = torch.sigmoid(n.widen(F.relu(n.norm2(n.squeeze(x.mean((2, 3), keepdim=True))))))
        pooled: Tensor = n.classifier((x * gate).mean(dim=(-2, -1)))
        return pooled

    return Custom(
        forward,
        conv=nn.Conv2d(3, 10, 3, padding=1),
        norm=nn.BatchNorm2d(10),
        squeeze=nn.Conv2d(10, 4, 1),
        norm2=nn.BatchNorm2d(4),
        widen=nn.Conv2d(4, 10, 1),
        classifier=nn.Linear(10, num_classes),
    )


def resampled(num_classes: int = 10) -> nn.Module:
    """Positions padded, cut out and resampled, branches dropped whole, a gate repeated over the positions."""

    def forward(n: Any, x: Tensor) -> Tensor:
        x = F.relu(n.norm(n.stem(n.pad(x))))  # [B, 9, 8, 8]
        small = n.norm2(n.small(F.pad(x, (1, 0, 0, 1))[:, :, ::2, 1:]))
        x = x + n.branch(F.interpolate(n.up(small), size=x.shape[2:], mode="bilinear"))
        x = n.images(x) * torch.sigmoid(x[..., :1, :1]).expand_as(x)
        classes: Tensor = n.classifier(x.mean((2, 3)))
        return classes

    return Custom(
        forward,
        pad=nn.ReflectionPad2d(1),
        stem=nn.Conv2d(3, 9, 3),
        norm=nn.BatchNorm2d(9),
        small=nn.Conv2d(9, 9, 3, padding=1),
        norm2=nn.BatchNorm2d(9),
        up=nn.Upsample(scale_factor=2),
        branch=StochasticDepth(0.3, "row"),
        images=StochasticDepth(0.2, "batch"),
        classifier=nn.Linear(9, num_classes),
    )


def normalised(num_classes: int = 10) -> nn.Module:
    """Slopes, one and per channel; batch norms of flattened maps and of hidden linear layers; softmaxes."""

    def forward(n: Any, x: Tensor) -> Tensor:
        x = n.slopes(n.norm(n.conv(x)))  # [B, 11, 8, 8]
        x = n.slope(n.conv2(x * F.softmax(x, -1)))
        x = n.slope(n.flat(F.avg_pool2d(x, 4).flatten(1)))  # [B, 7 * 4]
        x = n.hidden_slopes(n.hidden_norm(n.hidden(x)))
        return F.log_softmax(n.classifier(x), dim=1)

    network = Custom(
        forward,
        conv=nn.Conv2d(3, 11, 3, padding=1),
        norm=nn.SyncBatchNorm(11),
        slopes=nn.PReLU(11),
        conv2=nn.Conv2d(11, 7, 3, padding=1),
        slope=nn.PReLU(init=0.4),
        flat=nn.BatchNorm1d(28),
        hidden=nn.Linear(28, 6),
        hidden_norm=nn.BatchNorm1d(6),
        hidden_slopes=nn.PReLU(6),
        classifier=nn.Linear(6, num_classes),
    )
    for slopes in (network.slopes, network.hidden_slopes):
        slopes.weight.data.copy_(torch.linspace(-0.5, 0.9, slopes.num_parameters))
    return network


def reshaped(num_classes: int = 10) -> nn.Module:
    """Axes of positions removed and added in many ways, and gates from means of other axes."""

    def forward(n: Any, x: Tensor) -> Tensor:
        b, c, h, w = (x := F.relu(n.norm(n.conv(x)))).size()
        x = x * torch.sigmoid(x.mean((2, 3)).view(b, c, 1, 1)) + x.mean(3, keepdim=True) * x.mean(2).unsqueeze(2)
        x = n.norm2(n.conv2(x))  # [B, 7, 8, 8]
        x = x * x.view(b, -1, h * w).mean(-1)[:, :, None, None] + x[:, :, 1].reshape(b, x.shape[1], 1, w)
        pooled = F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(2)
        flat = F.max_pool2d(x, 4)
        classes: Tensor = n.classifier(pooled) + n.classifier2(flat.view(b, flat.size(1) * flat.size(2) * 2))
        return classes

    return Custom(
        forward,
        conv=nn.Conv2d(3, 9, 3, padding=1),
        norm=nn.BatchNorm2d(9),
        conv2=nn.Conv2d(9, 7, 3, padding=1),
        norm2=nn.BatchNorm2d(7),
        classifier=nn.Linear(7, num_classes),
        classifier2=nn.Linear(28, num_classes),
    )


def linear_gate(num_classes: int = 10) -> nn.Module:
    """A gate per channel from two linear layers: the second one's outputs are pruned with the maps."""

    def forward(n: Any, x: Tensor) -> Tensor:
        b, c, _, _ = (x := F.relu(n.norm(n.conv(x)))).size()
        gate = torch.sigmoid(n.up_norm(n.up(n.slope(n.down(n.pool(x).view(b, c)))))).view(b, c, 1, 1)
        x = n.norm2(n.conv2(x * gate.expand_as(x)))
        x = x * n.gate2(x.mean((2, 3)))[:, :, None, None]
        classes: Tensor = n.classifier(x.mean((2, 3)))
        return classes

    return Custom(
        forward,
        conv=nn.Conv2d(3, 10, 3, padding=1),
        norm=nn.BatchNorm2d(10),
        pool=nn.AdaptiveAvgPool2d(1),
        down=nn.Linear(10, 4),
        slope=nn.PReLU(4),
        up=nn.Linear(4, 10),
        up_norm=nn.BatchNorm1d(10),
        conv2=nn.Conv2d(10, 8, 3, padding=1),
        norm2=nn.BatchNorm2d(8),
        gate2=nn.Sequential(nn.Linear(8, 3, bias=False), nn.ReLU(), nn.Linear(3, 8, bias=False), nn.Sigmoid()),
        classifier=nn.Linear(8, num_classes),
    )


def concatenated(num_classes: int = 10) -> nn.Module:
    """Maps beside one another, of two scales, read whole and in halves, normalised together and summed with others."""

    def forward(n: Any, x: Tensor) -> Tensor:
        x = F.relu(n.norm(n.conv(x)))  # [B, 8, 8, 8]
        up = n.up(F.relu(n.norm2(n.down(x))))  # [B, 6, 8, 8]
        both = n.norm3(torch.cat([x, up, x], dim=1))  # [B, 22, 8, 8]
        both = F.pad(both, (0, 0, 0, 0, 2, 1)) + n.wide(up)  # channels of zeros before and behind
        first, second = n.narrow(both).chunk(2, 1)
        features = torch.cat([first * torch.sigmoid(second), both], 1)
        pooled = torch.cat([F.adaptive_avg_pool2d(features, 1), F.adaptive_max_pool2d(features, 1)], 1).flatten(1)
        classes: Tensor = n.classifier(pooled)
        return classes

    return Custom(
        forward,
        conv=nn.Conv2d(3, 8, 3, padding=1),
        norm=nn.BatchNorm2d(8),
        down=nn.Conv2d(8, 7, 2, stride=2),
        norm2=nn.BatchNorm2d(7),
        up=nn.ConvTranspose2d(7, 6, 2, stride=2),
        norm3=nn.BatchNorm2d(22),
        wide=nn.Conv2d(6, 25, 1),
        narrow=nn.Conv2d(25, 10, 1),
        classifier=nn.Linear(60, num_classes),
    )


def in_groups(num_classes: int = 10) -> nn.Module:
    """Convolutions in few wide and many narrow groups, with more outputs than inputs; a shuffle; a group norm."""

    def forward(n: Any, x: Tensor) -> Tensor:
        x = F.relu(n.norm(n.stem(x)))  # [B, 16, 8, 8]
        x = n.group_norm(n.wide(x))  # 2 groups of 8 -> 6
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, -1, h, w)
        x = n.norm2(n.narrow(n.point(x)))  # 5 groups of 2 -> 4
        x = n.more(n.again(n.again(x)))  # one filter and its two outputs for each channel
        classes: Tensor = n.classifier(x.mean((2, 3)))
        return classes

    return Custom(
        forward,
        stem=nn.Conv2d(3, 16, 3, padding=1),
        norm=nn.BatchNorm2d(16),
        wide=nn.Conv2d(16, 12, 3, padding=1, groups=2),
        group_norm=nn.GroupNorm(6, 12),
        point=nn.Conv2d(12, 10, 1),
        narrow=nn.Conv2d(10, 20, 3, padding=1, groups=5),
        norm2=nn.BatchNorm2d(20),
        again=nn.Conv2d(20, 20, 3, padding=1),
        more=nn.Conv2d(20, 40, 3, groups=20),
        classifier=nn.Linear(40, num_classes),
    )


def transformer(num_classes: int = 10) -> nn.Module:
    """Patches, a class token, attention: hidden widths of the perceptron are pruned, and the convolution before."""

    def forward(n: Any, x: Tensor) -> Tensor:
        x = n.patches(F.relu(n.norm(n.stem(x)))).flatten(2).transpose(1, 2)  # [B, 16, 8]
        x = torch.cat([n.token.expand(x.shape[0], -1, -1), x], dim=1) + n.places
        y = n.norm1(x)
        x = x + n.attention(y, y, y, need_weights=False)[0]
        x = x + n.scale * n.shrink(F.gelu(n.widen(n.norm2(x))))
        classes: Tensor = n.classifier(n.last(x)[:, 0])
        return classes

    network = Custom(
        forward,
        stem=nn.Conv2d(3, 9, 3, padding=1),
        norm=nn.BatchNorm2d(9),
        patches=nn.Conv2d(9, 8, 2, stride=2),
        norm1=nn.LayerNorm(8),
        attention=nn.MultiheadAttention(8, 2, batch_first=True),
        norm2=nn.LayerNorm(8),
        widen=nn.Linear(8, 12),
        shrink=nn.Linear(12, 8),
        last=nn.LayerNorm(8),
        classifier=nn.Linear(8, num_classes),
    )
    for name, shape in (("token", (1, 1, 8)), ("places", (1, 17, 8)), ("scale", (8,))):
        network.register_parameter(name, nn.Parameter(torch.linspace(-0.5, 0.8, math.prod(shape)).view(shape)))
    return network


def shuffled(num_classes: int = 10) -> nn.Module:
    """Channels made of positions and positions of channels, shuffled, one half gated by the other, extremes of two."""

    def forward(n: Any, x: Tensor) -> Tensor:
        x = n.shuffle(F.relu(n.norm(n.stem(x))))  # [B, 24, 8, 8]
        x = F.glu(n.groups(x), 1)  # [B, 10, 8, 8]
        x = torch.max(x, n.other(x)) - torch.min(x, x.max(3, keepdim=True)[0])
        x = n.up(n.wide(n.down(x)))  # [B, 3, 8, 8]
        x = x * torch.sigmoid(n.space(torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)))
        classes: Tensor = n.classifier(n.last(x).mean((2, 3)))
        return classes

    network = Custom(
        forward,
        stem=nn.Conv2d(3, 24, 3, padding=1),
        norm=nn.BatchNorm2d(24),
        shuffle=nn.ChannelShuffle(3),
        groups=nn.Conv2d(24, 20, 3, padding=1, groups=2),
        other=nn.Conv2d(10, 10, 1),
        down=nn.PixelUnshuffle(2),
        wide=nn.Conv2d(40, 12, 1),
        up=nn.PixelShuffle(2),
        space=nn.Conv2d(2, 1, 3, padding=1),
        last=nn.Conv2d(3, 7, 1),
        classifier=nn.Linear(7, num_classes),
    )
    network.last.weight.data.mul_(20)  # what little comes so far
    return network


CUSTOM_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "flat": flat, "depthwise": depthwise, "squeeze_excite": squeeze_excite,
    "resampled": resampled, "normalised": normalised, "reshaped": reshaped, "linear_gate": linear_gate,
    "concatenated": concatenated, "in_groups": in_groups, "transformer": transformer,
    "shuffled": shuffled,
}  # fmt: skip


def any_network(name: str, width: float = 0.25) -> tuple[nn.Module, Graph, tuple[int, int, int, int]]:
    """Build and trace a paper's network of some width, or a custom one; also return its input shape."""
    if name in CUSTOM_NETWORKS:
        network = CUSTOM_NETWORKS[name]()
        return network, trace(network, CUSTOM_SHAPE), CUSTOM_SHAPE
    size = 32 if name.startswith("vgg") else 8
    return *built(name, width, size), (1, 3, size, size)


def randomised_norms(network: nn.Module) -> nn.Module:
    """Give every batch norm statistics and affine parameters that differ from the identity, in place."""
    generator = torch.Generator().manual_seed(7)
    for norm in network.modules():
        if isinstance(norm, _BatchNorm):
            for tensor, low, high in (
                (norm.weight, 0.5, 1.5), (norm.bias, -0.5, 0.5), (norm.running_mean, -0.3, 0.3),
                (norm.running_var, 0.5, 2.0),
            ):  # fmt: skip
                tensor.data.uniform_(low, high, generator=generator)
    return network


def masked_where_read(network: nn.Module, graph: Graph, kept: Kept) -> nn.Module:
    """A copy of a network whose layers read nothing of the removed channels, whatever is in them."""
    result = copy.deepcopy(network)
    for node in graph.nodes:
        left = kept_elements(node.inputs, kept) if node.mixes else None
        if left is not None:
            mask = torch.zeros(node.in_channels, dtype=torch.bool)
            mask[torch.as_tensor(left)] = True
            axis = -1 if node.kind == LINEAR else 1
            result.get_submodule(node.name).register_forward_pre_hook(partial(_zero_removed, mask, axis))
    return result


def _zero_removed(mask: Tensor, axis: int, module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    (x,) = inputs
    shape = [1] * x.dim()
    shape[axis] = len(mask)
    return torch.where(mask.view(shape), x, torch.zeros((), dtype=x.dtype))


def groups_of(channels: list[int], least: int = 1, multiple: int = 1) -> Graph:
    """A graph that has groups of so many channels, and nothing else."""
    return Graph(
        (), (), tuple(Group(str(n), (str(n),), c, (1,), min(c, least), multiple) for n, c in enumerate(channels))
    )


def random_kept(graph: Graph, rng: np.random.Generator, levels: int = 10) -> Kept:
    """Kept channels of a random configuration, of channels chosen at random."""
    steps = rng.integers(0, levels, len(graph.groups))
    return kept_channels(random_order(graph, rng), kept_counts(steps, graph, levels))


def assert_exact(network: nn.Module, shape: tuple[int, ...] = CUSTOM_SHAPE) -> None:
    """Pruned networks equal masked ones, cost what is predicted, and have no more parameters than are counted."""
    network = network.double().eval()
    graph = trace(network, shape)
    assert from_json(to_json(graph)) == graph
    images = torch.randn(3, *shape[1:], dtype=torch.float64)
    for seed in range(3):
        kept = random_kept(graph, np.random.default_rng(seed))
        smaller = prune(network, graph, kept)
        with torch.no_grad():
            found, expected = (tree_leaves(each(images)) for each in (smaller, masked_where_read(network, graph, kept)))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        costs = costs_of_counts(graph, np.array([[len(channels) for channels in kept]]))
        cost = count(smaller, shape)
        assert (cost.flops, cost.parameters) == (costs[0][0], costs[1][0])
        assert cost.parameters == sum(parameter.numel() for parameter in smaller.parameters())
        sum(output.sum() for output in tree_leaves(smaller.train()(images))).backward()
        loaded = resized(network, copy.deepcopy(smaller.state_dict()))
        outputs = [tree_leaves(each.eval()(images)) for each in (loaded, smaller)]
        assert all(torch.equal(*pair) for pair in zip(*outputs, strict=True))


def thop_count(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[float, float]:
    """FLOPs and parameters by thop."""
    flops, parameters = thop.profile(network, inputs=(torch.zeros(input_shape),), verbose=False)
    return flops, parameters


def norms_of(order: Order) -> Norms:
    """L1 norms that put the channels of each group in this order."""
    norms = [np.empty(len(channels)) for channels in order]
    for values, channels in zip(norms, order, strict=True):
        values[channels] = np.arange(len(channels), 0, -1)
    return norms
