"""Files of the trained base. Loading runs no code from a file."""

from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from sacp.artefacts.tensors import load_torch, save_torch
from sacp.errors import InputError, one_line
from sacp.network import weights
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec


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
    _load_state(network, weights.load(source), source)


def _load_state(network: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the network: {one_line(error)}") from None
