"""A network in memory is trained on images, as a workflow trains its candidates."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sacp.api.data import Data
from sacp.artefacts.files import file_of
from sacp.artefacts.tensors import load_torch
from sacp.compute.arithmetic import engine_of, has_bfloat16
from sacp.compute.long_job import device as device_of
from sacp.compute.resume import STATE_KEYS, Sidecar
from sacp.errors import InputError
from sacp.network.logits import check_logits
from sacp.network.surgery import check_values
from sacp.training.candidates import train_fully
from sacp.training.evaluation import Calibration
from sacp.training.recipe import Recipe

CALIBRATION = 2000  # images
DEVICES, PRECISIONS = ("auto", "cpu", "cuda"), ("float32", "bfloat16", "auto")
LEAST = {"epochs": 1, "batch_size": 2, "seed": 0}
BOUNDS: dict[str, tuple[str, Callable[[float], bool]]] = {  # those of a workflow's recipes
    "lr": ("above 0 and up to 10", lambda value: 0 < value <= 10),
    "weight_decay": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "warmup_epochs": ("from 0", lambda value: value >= 0),
    "label_smoothing": ("from 0 and below 1", lambda value: 0 <= value < 1),
    "distill_weight": ("above 0 and up to 1", lambda value: 0 < value <= 1),
    "distill_temperature": ("from 0.1 to 100", lambda value: 0.1 <= value <= 100),
}
# ASSUME: Hinton et al. give no numbers that hold for all; most of the loss is the teacher's, as they found best.
TAUGHT = {"distill_weight": 0.9, "distill_temperature": 4.0}  # with a teacher, where nothing is given


def train(
    network: nn.Module, data: Data, *, epochs: int, lr: float, batch_size: int, weight_decay: float,
    warmup_epochs: float, label_smoothing: float, device: str, precision: str, seed: int, state: str | Path | None,
    teacher: nn.Module | None, distill_weight: float | None, distill_temperature: float | None,
) -> dict[str, Any]:  # fmt: skip
    """See `sacp.train`."""
    numbers = {
        "lr": lr,
        "weight_decay": weight_decay,
        "warmup_epochs": warmup_epochs,
        "label_smoothing": label_smoothing,
    }
    teaching = _teaching(teacher, {"distill_weight": distill_weight, "distill_temperature": distill_temperature})
    _check(network, data, {"epochs": epochs, "batch_size": batch_size, "seed": seed}, numbers | teaching)
    if teacher is not None:
        _check_teacher(teacher, data)
    if warmup_epochs and warmup_epochs >= epochs:
        raise InputError(f"warmup_epochs: found {warmup_epochs}, expected less than the {epochs} epochs")
    _check_word("device", device, DEVICES)
    _check_word("precision", precision, PRECISIONS)
    _check_state(state)
    padding = 0 if min(data.shape[2:]) < 16 else 4
    recipe = Recipe(
        epochs, lr, batch_size, 0.9, weight_decay, False, padding, True,
        warmup_epochs=warmup_epochs, label_smoothing=label_smoothing,
    )  # fmt: skip
    recipe = replace(recipe, **teaching)
    place, before = device_of(device), next(network.parameters()).device
    engine = engine_of({"precision": precision, "deterministic": True}, place, has_bfloat16(place))
    key = _key([network] if teacher is None else [network, teacher], data, recipe, seed, engine.precision)
    sidecar = Sidecar(None if state is None else Path(state), key)
    calibration = Calibration(data.splits, CALIBRATION, seed)
    modes = {module: module.training for module in network.modules()}
    try:
        network.to(place)
        metrics, _ = train_fully(
            network, data.splits, data.shape, recipe, seed, "training", calibration, engine, sidecar,
            teacher=teacher,
        )  # fmt: skip
    finally:
        network.to(before)
        for module, mode in modes.items():
            module.training = mode
    sidecar.clear()
    if metrics.get("failure"):
        raise InputError(metrics["failure"])
    return metrics


def _check(network: Any, data: Any, counts: dict[str, Any], numbers: dict[str, Any]) -> None:
    if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
        raise InputError(f"network: found a {type(network).__name__}, expected a torch.nn.Module with parameters")
    if not isinstance(data, Data):
        raise InputError(f"data: found a {type(data).__name__}, expected what sacp.data returns")
    for name, found in counts.items():
        if type(found) is not int or found < LEAST[name]:
            raise InputError(f"{name}: found {found!r}, expected an integer from {LEAST[name]}")
    for name, found in numbers.items():
        expected, is_right = BOUNDS[name]
        if type(found) not in (int, float) or not is_right(found):
            raise InputError(f"{name}: found {found!r}, expected a number {expected}")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError("network: found all of its parameters frozen; expected some that require gradients")
    check_values("network", network)
    _check_type("network", network)
    check_logits("network", network, data.shape, data.classes)


def _teaching(teacher: Any, given: dict[str, float | None]) -> dict[str, Any]:
    """Weight and temperature of a teacher, as they are given or `TAUGHT`; nothing where none teaches."""
    if teacher is not None:
        return {name: TAUGHT[name] if value is None else value for name, value in given.items()}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name}: found {value!r} without a teacher; expected teacher=NETWORK")
    return {}


def _check_teacher(teacher: Any, data: Data) -> None:
    if not isinstance(teacher, nn.Module) or not any(True for _ in teacher.parameters()):
        raise InputError(f"teacher: found a {type(teacher).__name__}, expected a torch.nn.Module with parameters")
    check_values("teacher", teacher)
    _check_type("teacher", teacher)
    check_logits("teacher", teacher, data.shape, data.classes, modes=(False,))


def _check_word(name: str, found: Any, known: tuple[str, ...]) -> None:
    if found not in known:
        raise InputError(f"{name}: found {found!r}, expected {', '.join(known)}")


def _check_state(state: Any) -> None:
    """A file that holds anything else is not written over, nor removed in the end."""
    if state is None:
        return
    if file_of(state, "state").exists():
        try:
            load_torch(state, STATE_KEYS)
        except InputError as error:
            raise InputError(f"state: {error}; expected a new file, or what a stopped training has left") from None


def _check_type(name: str, network: nn.Module) -> None:
    others = {str(each.dtype) for each in network.parameters() if each.is_floating_point()} - {"torch.float32"}
    if others:
        raise InputError(f"{name}: found parameters in {min(others)}, expected torch.float32: {name}.float()")


def _key(networks: Sequence[nn.Module], data: Data, recipe: Recipe, seed: int, precision: str) -> str:
    """SHA-256 of what decides the result."""
    prepared = data.splits.preprocessing()
    sha = hashlib.sha256(repr((asdict(recipe), seed, precision, data.splits.digest, data.shape, prepared)).encode())
    sha.update(data.splits.train.labels.numpy().tobytes())
    for name, tensor in (item for network in networks for item in network.state_dict().items()):
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
