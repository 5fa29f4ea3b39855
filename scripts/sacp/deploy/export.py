"""A network in memory -> files that other programs run, and that give what the network gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from sacp.artefacts.files import atomic_folder, why_not_written
from sacp.deploy import onnx_model, program
from sacp.deploy.comparing import Runner, batch_like, difference, tensors_in
from sacp.deploy.quiet import quiet
from sacp.errors import INTERRUPTS, InputError, out_of_memory, told
from sacp.pruning import files
from sacp.pruning.state import state_of, with_state
from sacp.tracing.trace import SHAPE, is_shape

T = TypeVar("T")
EXPORTED = 2  # inputs in the batch that is traced: sizes 0 and 1 would be taken for fixed


@dataclass(frozen=True)
class Format:
    """A format: the file, what writes a program to it, and what reads it back."""

    file: str
    write: Callable[[ExportedProgram, Path], None]
    read: Callable[[Path], Runner]


FORMATS = {
    "torch": Format("network.pt2", program.write, program.read),
    "onnx": Format("network.onnx", onnx_model.write, onnx_model.read),
}
WRITTEN = (*files.SAVED, *(each.file for each in FORMATS.values()), f"{FORMATS['onnx'].file}.data")


def export(
    network: nn.Module, folder: str | Path, example: Sequence[int] | Tensor, formats: Sequence[str] = tuple(FORMATS),
    more: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a network as `sacp.save` does, and as programs that need neither its class nor sacp.

    `network.pt2` is for `torch.export.load`, `network.onnx` for any runtime of ONNX; both take batches of any size.
    Each is read again and compared with the network in evaluation mode, at two sizes of batches: no output may differ
    by more than 1e-4 of its largest value. The folder appears when all of it is right.

    `torch.export.load` can unpickle, and so run code, if a file says so; load only files whose origin you trust. Of
    those that are written here it unpickles no more than plain tensors.

    Args:
        network: it takes one tensor; it stays as it is.
        folder: a new or empty one, or one that holds an exported network alone, which is replaced.
        example: a batch of inputs [B, ...], or the shape of one input with its batch axis.
        formats: `torch`, `onnx` or both. `onnx` needs the packages of the extra `export`.
        more: what else `network.json` says.

    Raises:
        InputError: an argument has another form, packages are missing, the network cannot be written, or a format does
            not give what the network gives; names the format.
    """
    _check_forms(network, formats)
    files.check_replaceable(folder, WRITTEN)
    original = with_state(network, state_of(network)).eval()  # on the CPU
    batch = _batch(original, example)
    with atomic_folder(folder) as temporary:
        files.write(network, temporary, more)
        loaded = files.load(temporary, lambda: original)
        _check("safetensors", original, lambda images: tensors_in(loaded(images)), batch)
        traced = _attempted(formats[0], lambda: program.program_of(original, batch_like(batch, EXPORTED)))
        for name in formats:
            _write(name, traced, temporary, original, batch)


def _check_forms(network: Any, formats: Any) -> None:
    if not isinstance(network, nn.Module):
        raise InputError(f"network: found a {type(network).__name__}, expected a torch.nn.Module")
    is_list = isinstance(formats, Sequence) and not isinstance(formats, str)
    if not is_list or not formats or not set(formats) <= FORMATS.keys():
        raise InputError(f"formats: found {formats!r:.80}, expected some of {tuple(FORMATS)}")
    if "onnx" in formats:
        onnx_model.check_installed()
        onnx_model.check_precision(network)


def _batch(network: nn.Module, example: Any) -> Tensor:
    """The example as a batch [B, ...] on the CPU, if the network takes it."""
    if not isinstance(example, Tensor):
        if not is_shape(example):
            raise InputError(f"example: found {example!r:.80}, expected a batch of inputs, or a shape {SHAPE}")
        kind = next((each.dtype for each in network.parameters() if each.is_floating_point()), torch.float32)
        example = torch.randn(tuple(example), generator=torch.Generator().manual_seed(0)).to(kind)
    if example.dim() < 1 or not len(example):
        raise InputError(f"example: found the shape {list(example.shape)}, expected a batch of inputs [B, ...]")
    batch: Tensor = example.detach().cpu()
    try:
        with torch.no_grad():
            network(batch)
    except INTERRUPTS:
        raise
    except BaseException as error:  # the user's code: anything can be raised there
        raise InputError(f"example: the network fails on the shape {list(batch.shape)} ({told(error)})") from error
    return batch


def _write(name: str, traced: ExportedProgram, folder: Path, network: nn.Module, batch: Tensor) -> None:
    """Write a program in one format, and compare what is read again with the network."""
    form = FORMATS[name]
    path = folder / form.file
    _attempted(name, lambda: form.write(traced, path))
    _check(name, network, _attempted(name, lambda: form.read(path)), batch)


def _check(name: str, network: nn.Module, run: Runner, batch: Tensor) -> None:
    if why := _attempted(name, lambda: difference(network, run, batch)):
        raise InputError(f"{name}: what was written {why}; nothing is kept")


def _attempted(name: str, attempt: Callable[[], T]) -> T:
    """What an exporter or a runtime gives; `InputError` with the name of the format for whatever it raises."""
    try:
        with quiet():
            return attempt()
    except INTERRUPTS:
        raise
    except BaseException as error:
        if out_of_memory(error) or (isinstance(error, Exception) and why_not_written(error, Path())):
            raise
        raise InputError(f"{name}: the network cannot be exported ({told(error)})") from error
