"""Files of pruned networks and of kept channels. Loading runs no code from a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.artefacts.digests import file_digest, sealed, unsealed
from sacp.artefacts.files import read_json, write_json
from sacp.artefacts.inputs import checked
from sacp.artefacts.tensors import save_safetensors
from sacp.errors import InputError
from sacp.network.architectures import build, module_of
from sacp.network.graph import Graph, Kept, Scales
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import resized
from sacp.network.weights import load_safetensors
from sacp.pruning.description import check_widths, spec_of

WEIGHTS_DIGEST = "weights_sha256"  # in the description of a network
AGAIN = "copy the folder again from where it came, or delete it and make the network again"


def save_kept(path: str | Path, graph: Graph, kept: Kept, scales: Scales | None = None) -> None:
    """Write the kept channels of every group, by group name, and their factors, if any; equal ones give equal bytes."""
    parts = {"kept": _by_name(graph, kept)}
    write_json(path, parts if scales is None else parts | {"scales": _by_name(graph, scales)})


def _by_name(graph: Graph, values: Sequence[NDArray[Any]]) -> dict[str, list[Any]]:
    return {group.name: numbers.tolist() for group, numbers in zip(graph.groups, values, strict=True)}


def load_kept(path: str | Path, graph: Graph) -> Kept:
    """Read what `save_kept` wrote; `InputError` if it belongs to another network."""
    kept = read_json(path).get("kept", {})
    if list(kept) != [group.name for group in graph.groups]:
        raise InputError(f"{path}: kept channels of the groups {list(kept)}, expected those of this network")
    return [np.array(numbers, np.int64) for numbers in kept.values()]


def load_scales(path: str | Path, graph: Graph) -> Scales | None:
    """Read the factors that `save_kept` wrote; None if it wrote none, `InputError` if they do not fit the channels."""
    kept, scales = load_kept(path, graph), read_json(path).get("scales")
    if scales is None:
        return None
    found = [np.array(scales.get(group.name, []), np.float64) for group in graph.groups]
    for group, numbers, factors in zip(graph.groups, kept, found, strict=True):
        if factors.shape != numbers.shape:
            raise InputError(
                f"{path}: {factors.size} factors of the {numbers.size} channels that group '{group.name}' keeps, "
                "expected one for each"
            )
    return found


def save_network(folder: str | Path, network: nn.Module, spec: NetworkSpec, description: Mapping[str, Any]) -> None:
    """Write a pruned network: `network.safetensors`, and `network.json` with all that is needed to use it."""
    # Copies: the format has no way to say that a layer is registered under two names.
    state = {name: tensor.cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    save_safetensors(Path(folder) / "network.safetensors", state)
    whole = {"network": asdict(spec), **description, WEIGHTS_DIGEST: file_digest(Path(folder) / "network.safetensors")}
    write_json(Path(folder) / "network.json", sealed(whole))


def load(folder: str | Path, network: Callable[..., nn.Module] | None = None) -> nn.Module:
    """Load a pruned network, ready for use, in evaluation mode.

    It takes images normalised with `mean` and `std` of `network.json` in the same folder.

    Args:
        folder: a winner's or a trained candidate's folder.
        network: for networks given by import path, the function that builds the unpruned one. No code is imported
            because a file names it.

    Raises:
        InputError: files are missing, damaged, changed since they were written, do not fit together, or say of the
            network what cannot be.
    """
    folder = Path(folder)
    description, state = _intact(folder)
    with _describing(folder):
        spec = spec_of(description)
    if failure := description.get("metrics", {}).get("failure"):
        raise InputError(f"{folder}: the training of this network failed: {failure}")
    if ":" in spec.name and network is None:
        raise InputError(f"{folder}: the network is '{spec.name}'; pass that function: sacp.load(folder, network=...)")
    try:
        if network is None:
            with torch.device("meta"):  # without memory: the file's weights take the place of all
                original = build(spec)
        else:
            original = module_of(network(num_classes=spec.num_classes), "network")
        loaded = resized(original, state).eval()
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    with _describing(folder):
        check_widths(description, loaded)
    return loaded


@contextmanager
def _describing(folder: Path) -> Iterator[None]:
    """Name the description of a pruned network in what is said against it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{folder / 'network.json'}: not the description of a pruned network: {error}") from None


def _intact(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and weights of a pruned network, as they were written; `InputError` says what to do otherwise."""
    about, weights = folder / "network.json", folder / "network.safetensors"
    if not about.exists():
        raise InputError(f"{about}: no such file; expected the folder of a pruned network")
    try:
        description = unsealed(about, read_json(about))
        state = load_safetensors(weights)
        if file_digest(weights) != description.get(WEIGHTS_DIGEST):
            raise InputError(f"{weights}: damaged or changed since it was written: not the weights of its network.json")
    except InputError as error:
        raise InputError(f"{error}; {AGAIN}") from None
    checked([about])  # another network's, with its weights, is not what the record beside it names
    return description, state
