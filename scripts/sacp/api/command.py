"""The command `sacp`: prune, train, save and export a network, time it, and explain a file; thin over the functions."""

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

import sacp
from sacp import imports
from sacp.api.data import Data
from sacp.artefacts import explain as chains
from sacp.catalogue.sources import IMAGE_SIZE
from sacp.deploy import onnx_model
from sacp.errors import InputError
from sacp.network import weights as files
from sacp.network.architectures import module_of
from sacp.network.logits import check_logits

log = logging.getLogger(__name__)
app = typer.Typer(help=sacp.__doc__, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
USAGE, STOPPED = 2, 130  # statuses
Builder = Annotated[str, typer.Option(help="Function that returns the unpruned network, MODULE:FUNCTION.")]
Weights = Annotated[str, typer.Option(help="File of its state_dict, or torchvision's name of weights.")]
Classes = Annotated[int | None, typer.Option(help="Given to the function as num_classes.")]
Input = Annotated[str, typer.Option("--input", help="Shape of one input with its batch axis, as 1,3,224,224.")]


@app.command()
def prune(
    network: Builder,
    out: Annotated[Path, typer.Option(help="Folder for the pruned network; new, or empty.")],
    weights: Weights = "",
    classes: Classes = None,
    shape: Input = "",
    flops: Annotated[str, typer.Option(help="At most: 0.5 is a share, 500000000 a number.")] = "",
    parameters: Annotated[str, typer.Option(help="At most, in the same way.")] = "",
    latency: Annotated[str, typer.Option(help="At most: 0.5 is a share of the original's time; '3.5 ms'.")] = "",
    runtime: Annotated[str, typer.Option(help="Of the latency: eager or onnxruntime.")] = "eager",
    batch: Annotated[int, typer.Option(help="Inputs at once, of the latency.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Of the CPU, of the latency.")] = None,
    timings: Annotated[Path | None, typer.Option(help="File in which times of layers are kept.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Layers that keep all channels, as layer4; repeatable.")
    ] = None,
    round_to: Annotated[int, typer.Option(help="Kept channels are a multiple of this.")] = 1,
    at_least: Annotated[str, typer.Option(help="Channels that every layer keeps, or their share.")] = "1",
    criterion: Annotated[str, typer.Option(help="Which channels stay: sensitivity with images, else l1.")] = "",
    score: Annotated[str, typer.Option(help="What is maximised: sensitivity with images, else log-mass.")] = "",
    images: Annotated[Path | None, typer.Option(help="Folder with train/ and val/, to measure and train with.")] = None,
    image_size: Annotated[int, typer.Option(help="Pixels of a side of these.")] = IMAGE_SIZE,
    epochs: Annotated[int, typer.Option(help="Of training on the images; 0 for none.")] = 0,
    distill: Annotated[
        float, typer.Option(help="Share of the unpruned network's answers in the loss, as 0.9; 0 for none.")
    ] = 0,
    lr: Annotated[float, typer.Option(help="Learning rate at the start.")] = 0.01,
    batch_size: Annotated[int, typer.Option(help="Images of a step.")] = 128,
    device: Annotated[str, typer.Option(help="Where it is trained: auto, cpu or cuda.")] = "auto",
    export: Annotated[bool, typer.Option("--export", help="Export it to OUT/export, too.")] = False,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
) -> None:
    """Prune a network to a budget; calibrate and train it if images are given; save it, and export it."""
    _check_new(out)
    if epochs and images is None:
        raise InputError(f"--epochs: found {epochs} without images to train on; expected --images FOLDER")
    if distill and not epochs:
        raise InputError(f"--distill: found {distill} without a training; expected --epochs and --images")
    data = None if images is None else sacp.data(images, image_size=image_size, seed=seed)
    example = _shape(shape, data)
    if export:
        onnx_model.check_installed()
    torch.manual_seed(seed)  # of weights that the function draws
    base = _built(network, weights, _classes(classes, data))
    if data is not None:
        check_logits(
            f"--network: '{network}'", base, data.shape, data.classes, modes=(False, True) if epochs else (False,)
        )
    batches = [] if data is None else data.batches(seed=seed)
    smaller = sacp.prune(
        base, example, flops=_limit("flops", flops), parameters=_limit("parameters", parameters),
        latency=latency if "ms" in latency else _limit("latency", latency), runtime=runtime, batch=batch,
        threads=threads, timings=timings,
        ignore=ignore or (), round_to=round_to, at_least=_number("at-least", at_least),
        criterion=criterion or None, score=score or None, images=batches or (),
        calibrate=batches or None, seed=seed, report=print,
    )  # fmt: skip
    if not weights:  # maybe forgotten, maybe the function reads some
        log.warning("no --weights: pruned are those that %s gives", network)
    if data is not None and epochs:
        metrics = sacp.train(
            smaller, data, epochs=epochs, lr=lr, batch_size=batch_size, device=device, seed=seed,
            state=out.with_name(f"{out.name}.training"), teacher=base if distill else None,
            distill_weight=distill or None,
        )  # fmt: skip
        print(f"test accuracy: {metrics['test_accuracy_percent']:.2f} %")
    sacp.save(smaller, out)
    print(f"saved: {out}")
    if export:
        sacp.export(smaller, out / "export", example)
        print(f"exported: {out / 'export'}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a saved network, or of a winner.")],
    shape: Input,
    out: Annotated[Path, typer.Option(help="Folder for the exports; new, or empty.")],
    network: Builder = "",
    classes: Classes = None,
) -> None:
    """Export a saved network by torch.export and to ONNX, each compared with it."""
    _check_new(out)
    sacp.export(_loaded(folder, network, classes), out, _shape(shape, None))
    print(f"exported: {out}")


@app.command()
def latency(
    folder: Annotated[Path, typer.Argument(help="Folder of a saved network, or of a winner.")],
    shape: Input,
    network: Builder = "",
    classes: Classes = None,
    original: Annotated[bool, typer.Option("--original", help="Time the unpruned network beside it.")] = False,
    batch: Annotated[list[int] | None, typer.Option(help="Inputs at once; repeatable. 1 and 32 if not given.")] = None,
    runtime: Annotated[list[str] | None, typer.Option(help="eager or onnxruntime; both if not given.")] = None,
    threads: Annotated[int | None, typer.Option(help="Of the CPU.")] = None,
    seconds: Annotated[float, typer.Option(help="For each line.")] = 2.0,
) -> None:
    """Time a saved network: median and quartiles in milliseconds, by runtime and size of the batch."""
    if original and not network:
        raise InputError("--original: found no function that returns it; expected --network MODULE:FUNCTION")
    beside = _built(network, "", classes) if original else None
    rows = sacp.latency(
        _loaded(folder, network, classes), _shape(shape, None), original=beside, batches=batch or (1, 32),
        runtimes=runtime or ("eager", "onnxruntime"), threads=threads, seconds=seconds,
    )  # fmt: skip
    for row in rows:
        times = f"{row.median_ms:.2f} ms ({row.lower_ms:.2f} to {row.upper_ms:.2f})"
        faster = "" if row.speedup is None else f", {row.speedup:.2f} times as fast as the original"
        print(f"{row.runtime}, batch {row.batch}, {row.threads} threads, {row.device}: {times}{faster}")


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="A file that a run has made.")],
    other: Annotated[Path | None, typer.Argument(help="Another, to say what the two differ in.")] = None,
) -> None:
    """Show how a file was made, back to the data."""
    raise typer.Exit(chains.main([str(path) for path in (file, other) if path]))


def main() -> None:
    """Run the command; a user's mistake ends in one line and status 1, or 2 where it is one of usage."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger(sacp.__name__).setLevel(logging.INFO)  # others' packages say much about themselves
    sys.path.insert(0, os.getcwd())  # where a user's modules lie, as for `python -m`
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments; returns its status."""
    try:
        return app([*arguments] or ["--help"], prog_name="sacp", standalone_mode=False) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return STOPPED
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except typer.TyperException as error:  # of the arguments
        print(f"error: {' '.join(error.format_message().split()).rstrip('.')}; see --help", file=sys.stderr)
        return USAGE


def _built(path: str, weights: str, classes: int | None) -> nn.Module:
    """The unpruned network with its weights."""
    if not imports.is_path(path):
        raise InputError(f"--network: found '{path}', expected MODULE:FUNCTION, as torchvision.models:resnet18")
    named = {} if classes is None else {"num_classes": classes}
    network = module_of(imports.call(path, **named), path)
    if weights:
        files.check(weights)
        files.inherit(network, weights)
    return network


def _loaded(folder: Path, path: str, classes: int | None) -> nn.Module:
    if not path:
        return sacp.load(folder)
    return sacp.load(folder, network=lambda **_: _built(path, "", classes))


def _shape(text: str, data: Data | None) -> tuple[int, ...]:
    """A shape as it is written; of the data if none is."""
    if not text and data is not None:
        return data.shape
    sizes = text.split(",")
    if not all(size.strip().isdecimal() for size in sizes):
        raise InputError(f"--input: found '{text}', expected the shape of one input, as 1,3,224,224")
    found = tuple(int(size) for size in sizes)
    if data is not None and found[1:] != data.shape[1:]:
        expected = f"[1, {', '.join(map(str, data.shape[1:]))}], which --image-size says, or no --input"
        raise InputError(f"--input: found {list(found)}, but images are given as {expected}")
    return found


def _classes(number: int | None, data: Data | None) -> int | None:
    """The number of classes that the function is given; that of the data if there are any."""
    if data is not None and number not in (None, data.classes):
        raise InputError(f"--classes: found {number}, but the images have {data.classes} classes")
    return number if data is None else data.classes


def _limit(name: str, text: str) -> float | None:
    """A bound as it is written: whole numbers are numbers, fractions up to 1.0 are shares."""
    return _number(name, text) if text else None


def _number(name: str, text: str) -> float:
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        raise InputError(f"--{name}: found '{text}', expected a number, as 0.5 or 500000000") from None


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--out: '{folder}' exists and is not empty; expected a new folder")
    above = next(each for each in folder.absolute().parents if each.exists())
    try:
        with tempfile.TemporaryDirectory(dir=above, prefix=".sacp-"):  # of /proc, no permissions tell
            pass
    except OSError as error:
        why = error.strerror
        raise InputError(
            f"--out: '{folder}' cannot be made in '{above}' ({why}); expected a folder that can be written to"
        ) from None
