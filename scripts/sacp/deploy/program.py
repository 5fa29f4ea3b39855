"""A network as a program of `torch.export`: what it computes, without its class."""

import io
import json
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from sacp.deploy.comparing import Runner, tensors_in
from sacp.errors import InputError

BATCH = "batch"  # the name of the axis that has no fixed size


def program_of(network: nn.Module, example: Tensor) -> ExportedProgram:
    """Trace a network in evaluation mode on a batch [B, ...] for batches of any size."""
    return torch.export.export(network, (example,), dynamic_shapes=({0: Dim(BATCH)},), strict=False)


def write(program: ExportedProgram, path: Path) -> None:
    """Write a program as a `.pt2` file; it takes twice the weights' memory while it is written."""
    content = io.BytesIO()  # torch's own writer ends the process where the disk is full
    torch.export.save(program, content)
    path.write_bytes(content.getbuffer())


def read(path: Path) -> Runner:
    """What a `.pt2` file computes; nothing is unpickled but plain tensors.

    `torch.export.load` unpickles what a file says is pickled: files of others can run code. Those that hold any such
    part are not loaded here.

    Raises:
        InputError: a part of the file would have to be unpickled.
    """
    _check_not_pickled(path)
    module = torch.export.load(path).module()
    return lambda batch: tensors_in(module(batch))


def _check_not_pickled(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("_config.json"):
                parts = json.loads(archive.read(name))["config"]
                pickled = [part for part, value in parts.items() if value["use_pickle"]]
                if pickled:
                    raise InputError(f"'{pickled[0]}' is no plain tensor and would be pickled")
            elif "/sample_inputs/" in name:
                with archive.open(name) as inputs:
                    torch.load(inputs, weights_only=True)  # as torch.export.load tries first
