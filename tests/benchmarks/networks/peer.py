"""Torch-Pruning on the same network: its groups beside ours, and what its pruner makes of it."""

import copy
import time
from collections.abc import Iterable, Iterator, Mapping

import torch
from sacp.errors import out_of_memory, told
from torch import nn

try:
    import torch_pruning
except ModuleNotFoundError:
    torch_pruning = None

RUNS, FAILS, MISSING = "runs", "fails", "torch_pruning is missing"
CLASSES = (1000, 21)  # of ImageNet and of VOC: layers that give as many channels are taken for the networks' last

Groups = set[frozenset[str]]


def measure(network: nn.Module, shape: tuple[int, int, int, int]) -> Iterator[Mapping[str, object]]:
    """Columns of a row: half of all channels are removed by the L1 norm, and the result is run once."""
    yield {"stage": "pruning"}
    images, started = torch.zeros(shape), time.process_time()
    before = sum(each.numel() for each in network.parameters())
    try:
        _prune(network, images)
        seconds = time.process_time() - started
        with torch.no_grad():
            network.eval()(images)
    except Exception as error:  # whatever it fails with
        if out_of_memory(error):
            raise
        yield {"peer": FAILS, "peer_why": told(error)}
        return
    left = sum(each.numel() for each in network.parameters()) / before
    yield {"peer": RUNS, "peer_cpu_seconds": f"{seconds:.1f}", "peer_parameters_percent": f"{100 * left:.0f}"}


def _prune(network: nn.Module, images: torch.Tensor) -> None:
    last = [
        module
        for module in network.modules()
        if getattr(module, "out_features", None) in CLASSES or getattr(module, "out_channels", None) == CLASSES[1]
    ]
    importance = torch_pruning.importance.MagnitudeImportance(p=1)
    pruner = torch_pruning.pruner.MagnitudePruner(network, images, importance, pruning_ratio=0.5, ignored_layers=last)
    pruner.step()


def groups(network: nn.Module, shape: tuple[int, int, int, int]) -> Groups | None:
    """Convolutions whose output channels Torch-Pruning prunes alike; None where it is missing."""
    if torch_pruning is None:
        return None
    network = copy.deepcopy(network)  # of which little may be left where it fails
    names = {module: name for name, module in network.named_modules()}
    dependencies = torch_pruning.DependencyGraph().build_dependency(network, example_inputs=torch.zeros(shape))
    outputs = (torch_pruning.prune_conv_out_channels, torch_pruning.prune_depthwise_conv_out_channels)
    found: Groups = set()
    for module, name in names.items():
        if isinstance(module, nn.Conv2d) and not any(name in group for group in found):
            group = dependencies.get_pruning_group(
                module, torch_pruning.prune_conv_out_channels, list(range(module.out_channels))
            )
            found.add(frozenset(names[each.target.module] for each, _ in group if each.handler in outputs))
    return found


def against(ours: Iterable[Iterable[str]], theirs: Groups | None) -> str:
    """How our groups of layers and the peer's lie to each other, where ours can be pruned."""
    if theirs is None:
        return MISSING
    own = {frozenset(group) for group in ours}
    other = {group for group in theirs if any(group & each for each in own)}
    if own == other:
        return "equal"
    if all(any(group <= each for each in other) for group in own):
        return "ours finer"
    return "ours coarser" if all(any(group <= each for each in own) for group in other) else "differ"
