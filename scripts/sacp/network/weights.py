"""Files of the trained base, and weights that it starts from: a file, or a name under which torchvision has them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sacp.artefacts.tensors import load_torch, save_torch
from sacp.errors import InputError, nearest, one_line
from sacp.network import checkpoints
from sacp.network.architectures import build
from sacp.network.fitting import load_into
from sacp.network.spec import WEIGHTS_SUFFIXES, NetworkSpec, is_weights_file

EXAMPLE = "ResNet18_Weights.IMAGENET1K_V1"


def check(weights: str) -> None:
    """Raise `InputError` if the file is missing or the name unknown. Nothing is read or downloaded."""
    if not is_weights_file(weights):
        _published(weights)
    elif not Path(weights).is_file():
        found = "is a folder" if Path(weights).is_dir() else "no such file"
        raise InputError(f"{weights}: {found}; expected a state dict in a file, as {', '.join(WEIGHTS_SUFFIXES)}")


def load(weights: str | Path) -> dict[str, Tensor]:
    """Read or download a state dict. No code is run from it.

    Raises:
        InputError: the file is missing, corrupt, or holds no state dict; the name is unknown, or the download failed.
    """
    return checkpoints.read(weights) if is_weights_file(weights) else _downloaded(str(weights))


def load_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Read a safetensors file; `InputError` if it is missing or corrupt."""
    try:
        if Path(path).is_dir():
            raise InputError(f"{path}: is a folder, expected a file of safetensors")
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from None


def _published(name: str) -> Any:
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        return get_weight(name)
    except (KeyError, ValueError):
        known = [str(weights) for model in list_models() for weights in get_model_weights(model)]
        raise InputError(
            f"{name}: torchvision publishes no such weights{nearest(name, known)}; "
            f"expected a name such as {EXAMPLE} or a file, as {', '.join(WEIGHTS_SUFFIXES)} or ./{name}"
        ) from None


def _downloaded(name: str) -> dict[str, Tensor]:
    """Take published weights from torch's cache, or download them there; their checksum is part of their address."""
    weights = _published(name)
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{name}: cannot be downloaded from {weights.url} ({one_line(error)})") from None
    return state


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
    load_into(network, value["state"], path)
    return network


def inherit(network: nn.Module, source: str | Path) -> None:
    """Load weights, a file or a name of torchvision's, into `network`.

    A state dict that is nested in the file's dict is taken out, and what wrappers as `DataParallel` put before its
    names is taken off; both are logged.

    Raises:
        InputError: they cannot be read or do not fit; the network is as it was then.
    """
    load_into(network, load(source), source)
