"""Files of the trained base, and weights that it starts from: a file, or a name under which torchvision has them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sacp.artefacts.tensors import load_torch, save_torch
from sacp.errors import InputError, nearest, one_line
from sacp.network.architectures import build
from sacp.network.spec import WEIGHTS_SUFFIXES, NetworkSpec, is_weights_file

EXAMPLE = "ResNet18_Weights.IMAGENET1K_V1"


def check(weights: str) -> None:
    """Raise `InputError` if the file is missing or the name unknown. Nothing is read or downloaded."""
    if not is_weights_file(weights):
        _published(weights)
    elif not Path(weights).is_file():
        raise InputError(f"{weights}: no such file; expected a state dict in a file {', '.join(WEIGHTS_SUFFIXES)}")


def load(weights: str | Path) -> dict[str, Tensor]:
    """Read or download a state dict. No code is run from it.

    Raises:
        InputError: the file is missing, corrupt, or holds no state dict; the name is unknown, or the download failed.
    """
    if not is_weights_file(weights):
        return _downloaded(str(weights))
    return load_safetensors(weights) if Path(weights).suffix == ".safetensors" else _load_pickled(weights)


def load_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Read a safetensors file; `InputError` if it is missing or corrupt."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from None


def _load_pickled(path: str | Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets arbitrary bytes with arbitrary exceptions; no code has run
        # torch's own words advise to load it with the code that it holds.
        found = "objects that run code" if "Weights only load failed" in str(error) else one_line(error)
        expected = "expected what torch.save(network.state_dict(), path) writes"
        raise InputError(f"{path}: cannot be read as a file of tensors ({found}); {expected}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        found = f"a dict of {', '.join(map(str, state))}" if isinstance(state, dict) else f"a {type(state).__name__}"
        raise InputError(f"{path}: holds {found[:100]}, expected a state dict: names and tensors, nothing else")
    return dict(state)


def _published(name: str) -> Any:
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        return get_weight(name)
    except (KeyError, ValueError):
        known = [str(weights) for model in list_models() for weights in get_model_weights(model)]
        raise InputError(
            f"{name}: torchvision publishes no such weights{nearest(name, known)}; "
            f"expected a name such as {EXAMPLE} or a file {', '.join(WEIGHTS_SUFFIXES)}"
        ) from None


def _downloaded(name: str) -> dict[str, Tensor]:
    """Take published weights from torch's cache, or download them there; their checksum is part of their address."""
    weights = _published(name)
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (OSError, RuntimeError) as error:
        raise InputError(f"{name}: cannot be downloaded from {weights.url} ({one_line(error)})") from None


def save_base(path: str | Path, network: nn.Module, spec: NetworkSpec) -> None:
    """Write an unpruned network: weights on the CPU, and what builds it."""
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_torch(path, {"state": state, "network": asdict(spec)})


def load_base(path: str | Path, spec: NetworkSpec) -> nn.Module:
    """Read what `save_base` wrote; `InputError` if it was made for a network other than `spec`."""
    value = load_torch(path, ("state", "network"))
    if value["network"] != asdict(spec):
        raise InputError(f"{path}: holds the network {value['network']}, expected {asdict(spec)}")
    network = build(spec)
    _load_state(network, value["state"], path)
    return network


def inherit(network: nn.Module, source: str | Path) -> None:
    """Load weights, a file or a name of torchvision's, into `network`; `InputError` if they do not fit."""
    _load_state(network, load(source), source)


def _load_state(network: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the network: {one_line(error)}") from None
