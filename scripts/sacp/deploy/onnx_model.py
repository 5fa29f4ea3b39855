"""A network as an ONNX model, run by onnxruntime; the packages of the extra `export` are imported here alone."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from sacp.deploy.comparing import Runner
from sacp.deploy.program import BATCH
from sacp.errors import InputError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST_BYTES = 2**31 - 2**26  # of weights in the model's own file: protobuf's limit, with room for all else
ONLY_ERRORS = 3  # onnxruntime's number


def check_installed() -> None:
    """Raise `InputError` unless the packages that write and run ONNX models are installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"formats: onnx needs {', '.join(missing)}: pip install 'sacp[export]'")


def check_precision(network: nn.Module) -> None:
    """Raise `InputError` unless a network is in float32: runtimes have no layers in others, or round differently."""
    others = {str(each.dtype) for each in network.parameters() if each.is_floating_point()} - {str(torch.float32)}
    if others:
        raise InputError(
            f"onnx: found a network in {', '.join(sorted(others))}, expected torch.float32: network.float()"
        )


def write(program: ExportedProgram, path: Path) -> None:
    """Write a program as an ONNX model: one file, or with the weights beside it if they take 2 GB or more.

    The input is `input`, a single output `output`, and their first axis `batch`.
    """
    tensors = [*program.parameters(), *program.buffers()]
    bytes_of_weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    is_single = len(program.graph_signature.user_outputs) == 1
    torch.onnx.export(
        program, (), path, dynamo=True, external_data=bytes_of_weights > LARGEST_BYTES, verbose=False,
        input_names=["input"], output_names=["output"] if is_single else None, dynamic_shapes=({0: BATCH},),
    )  # fmt: skip


def read(path: Path) -> Runner:
    """What an ONNX model computes on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_ERRORS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(batch: Tensor) -> list[Tensor]:
        return [torch.as_tensor(each) for each in session.run(None, {name: batch.numpy()})]

    return run
