"""Files of pruned networks and of kept channels. Loading runs no code from a file."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.artefacts.digests import file_digest, sealed, unsealed
from sacp.artefacts.files import atomic_folder, folder_of, read_json, write_json
from sacp.artefacts.inputs import checked
from sacp.artefacts.tensors import save_safetensors
from sacp.errors import InputError
from sacp.network.architectures import build, module_of
from sacp.network.graph import Graph, Kept, Scales
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import check_unwrapped, resized
from sacp.network.weights import load_safetensors
from sacp.pruning import saved
from sacp.pruning.description import check_saved, check_widths, spec_of
from sacp.pruning.state import state_of

DESCRIPTION, WEIGHTS = SAVED = ("network.json", "network.safetensors")
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


def save(network: nn.Module, folder: str | Path) -> None:
    """Write any network, pruned or not: `network.safetensors`, and `network.json` with what builds it; whole or not.

    A network of torchvision's, or of `sacp.network.architectures`, is given back by `load(folder)` alone, whatever its
    sizes and options; one of another class by `load(folder, network=...)`. Written are all tensors, buffers that are
    not persistent too, which parameters are frozen, which are one, and which have their channels last; not written are
    hooks and modes.

    Args:
        network: it stays as it is.
        folder: a new or empty one, or one that holds a saved network alone, which is replaced.

    Raises:
        InputError: the network holds what cannot be written, the folder holds something else or cannot be written to.
    """
    _check_network(network)
    check_replaceable(folder, SAVED)
    with atomic_folder(folder) as temporary:
        write(network, temporary)


def write(network: nn.Module, folder: Path, more: Mapping[str, Any] | None = None) -> None:
    """Write the two files of a network into a folder; `more` is what else its description says."""
    _check_network(network)
    check_unwrapped(network)
    state = state_of(network)
    save_safetensors(folder / WEIGHTS, state.tensors)
    description = {**saved.description_of(network, state), **(more or {})}
    write_json(folder / DESCRIPTION, sealed(description | {WEIGHTS_DIGEST: file_digest(folder / WEIGHTS)}))


def _check_network(network: Any) -> None:
    if not isinstance(network, nn.Module):
        raise InputError(f"network: found a {type(network).__name__}, expected a torch.nn.Module")


def check_replaceable(folder: str | Path, names: Collection[str]) -> None:
    """Raise `InputError` if a folder holds anything but a saved network's files of these names."""
    folder = folder_of(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: found a file, expected a folder of its own for the network")
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if there - set(names):
        raise InputError(
            f"{folder}: holds '{min(there - set(names))}', which is not of a saved network; give it a folder of its own"
        )
    if there and saved.MODULE not in read_json(folder / DESCRIPTION):
        raise InputError(f"{folder / DESCRIPTION}: not of a saved network; give the network a folder of its own")


def save_network(folder: str | Path, network: nn.Module, spec: NetworkSpec, description: Mapping[str, Any]) -> None:
    """Write a pruned network: `network.safetensors`, and `network.json` with all that is needed to use it."""
    # Copies: the format has no way to say that a layer is registered under two names.
    state = {name: tensor.cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    weights = Path(folder) / WEIGHTS
    save_safetensors(weights, state)
    whole = {"network": asdict(spec), **description, WEIGHTS_DIGEST: file_digest(weights)}
    write_json(Path(folder) / DESCRIPTION, sealed(whole))


def load(folder: str | Path, network: Callable[..., nn.Module] | None = None) -> nn.Module:
    """Load a pruned network, ready for use, in evaluation mode, on the CPU.

    A winner takes images as `network.json` in the same folder says: image files scaled to `resize`, their middle of
    `crop` pixels cut out (torchvision's Resize and CenterCrop), values from 0 to 1 normalised with `mean` and `std`.

    Args:
        folder: what `save` wrote, or a winner's or a trained candidate's folder.
        network: for networks of the user's own, the function that returns the unpruned one: `f()` for what `save`
            wrote, `f(num_classes=...)` for a winner. No code is imported because a file names it.

    Raises:
        InputError: files are missing, damaged, changed since they were written, do not fit together, or say of the
            network what cannot be.
    """
    folder = folder_of(folder)
    description, state = _intact(folder)
    if saved.MODULE in description:
        with _describing(folder):
            check_saved(description)
        try:
            return saved.network_of(description, state, network).eval()
        except InputError as error:
            raise InputError(f"{folder}: {error}") from None
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
        raise InputError(f"{folder / DESCRIPTION}: not the description of a pruned network: {error}") from None


def _intact(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and weights of a pruned network, as they were written; `InputError` says what to do otherwise."""
    about, weights = folder / DESCRIPTION, folder / WEIGHTS
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
    # In memory of torch's own: where a file's bytes lie, kernels may round otherwise, and another may write them anew.
    return description, {name: tensor.clone() for name, tensor in state.items()}
