"""Files of networks: the graph, the trained base, kept channels, pruned networks. Loading runs no code from a file."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sacp import weights
from sacp.criteria import Kept
from sacp.errors import InputError, one_line
from sacp.files import atomic, load_torch, read_json, write_json
from sacp.graph import Graph, from_json, to_json
from sacp.networks import NetworkSpec, build
from sacp.surgery import resized

Json = dict[str, Any]


@dataclass(frozen=True)
class Base:
    """The trained, unpruned network."""

    network: nn.Module
    metrics: Json


def save_base(path: str | Path, network: nn.Module, spec: NetworkSpec, metrics: Json, provenance: Json) -> None:
    """Write the unpruned network: weights on the CPU, what builds it, its metrics and its provenance."""
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic(path) as temporary:
        value = {"state": state, "network": asdict(spec), "metrics": metrics, "provenance": provenance}
        torch.save(value, temporary)


def load_base(path: str | Path, spec: NetworkSpec) -> Base:
    """Read what `save_base` wrote; `InputError` if it was made for a network other than `spec`."""
    value = load_torch(path, ("state", "network", "metrics"))
    if value["network"] != asdict(spec):
        raise InputError(f"{path}: holds the network {value['network']}, expected {asdict(spec)}")
    network = build(spec)
    _load_state(network, value["state"], path)
    return Base(network, value["metrics"])


def load_metrics(path: str | Path) -> Json:
    """Metrics of the base network that `save_base` wrote."""
    return dict(load_torch(path, ("metrics",))["metrics"])


def save_graph(path: str | Path, graph: Graph, spec: NetworkSpec, provenance: Json) -> None:
    """Write `network.json`: the graph and what builds the network it was traced from."""
    write_json(path, {"network": asdict(spec), **to_json(graph), "provenance": provenance})


def load_graph(path: str | Path) -> Graph:
    """Read the graph that `save_graph` wrote."""
    value = read_json(path)
    try:
        return from_json(value)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a network graph ({error})") from None


def save_kept(path: str | Path, graph: Graph, kept: Kept, provenance: Json) -> None:
    """Write the kept channels of every group, by group name."""
    channels = {group.name: numbers.tolist() for group, numbers in zip(graph.groups, kept, strict=True)}
    write_json(path, {"kept": channels, "provenance": provenance})


def load_kept(path: str | Path, graph: Graph) -> Kept:
    """Read what `save_kept` wrote; `InputError` if it belongs to another network."""
    kept = read_json(path).get("kept", {})
    if list(kept) != [group.name for group in graph.groups]:
        raise InputError(f"{path}: kept channels of the groups {list(kept)}, expected those of this network")
    return [np.array(numbers, np.int64) for numbers in kept.values()]


def save_network(folder: str | Path, network: nn.Module, spec: NetworkSpec, description: Json) -> None:
    """Write a pruned network: `network.safetensors`, and `network.json` with all that is needed to use it."""
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic(Path(folder) / "network.safetensors") as temporary:
        save_file(state, temporary)
    write_json(Path(folder) / "network.json", {"network": asdict(spec), **description})


def inherit(network: nn.Module, source: str | Path) -> None:
    """Load weights, a file or a name of torchvision's, into `network`; `InputError` if they do not fit."""
    _load_state(network, weights.load(source), source)


def _load_state(network: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the network: {one_line(error)}") from None


def load(folder: str | Path, network: Callable[..., nn.Module] | None = None) -> nn.Module:
    """Load a pruned network, ready for use, in evaluation mode.

    It takes images normalised with `mean` and `std` of `network.json` in the same folder.

    Args:
        folder: a winner's or a trained candidate's folder.
        network: for networks given by import path, the function that builds the unpruned one. No code is imported on
            the word of a file.

    Raises:
        InputError: files are missing, corrupt, or do not fit together.
    """
    folder = Path(folder)
    try:
        description = read_json(folder / "network.json")
        spec = NetworkSpec(**description["network"])
        failure = description.get("metrics", {}).get("failure")
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / 'network.json'}: not the description of a network ({error})") from None
    if failure:
        raise InputError(f"{folder}: the training of this network failed: {failure}")
    if ":" in spec.name and network is None:
        raise InputError(f"{folder}: the network is '{spec.name}'; pass that function: sacp.load(folder, network=...)")
    original = network(num_classes=spec.num_classes) if network is not None else build(spec)
    return resized(original, weights.load_safetensors(folder / "network.safetensors")).eval()
