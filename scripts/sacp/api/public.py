"""The functions that users call: what they take and give; see `sacp`.

Nothing but the types' names is imported here: `sacp` costs no torch import before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sacp.api.data import Data
    from sacp.api.report import Report
    from sacp.timing.measure import Row

P = ParamSpec("P")
R = TypeVar("R")


def _public(function: Callable[P, R]) -> Callable[P, R]:
    """A function that refuses in one line arguments that it does not have, or lacks, and more than memory holds."""

    @wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except TypeError as error:
            if error.__traceback__ and error.__traceback__.tb_next:  # raised inside the function
                raise
            from sacp.api import calls

            raise calls.mistake(function, named, error) from None
        except (MemoryError, RuntimeError) as error:
            from sacp.errors import InputError, asked, out_of_memory

            if not out_of_memory(error):
                raise
            raise InputError(f"{function.__name__}: memory is too small{asked(error)}; lower the sizes") from None

    return called


@_public
def save(network: nn.Module, folder: str | Path) -> None:
    """Save a network, pruned or not: `network.safetensors`, and `network.json` with what builds it; whole or not.

    Written are all tensors, buffers that are not persistent too, and which parameters are frozen; not written are hooks
    and modes.

    Args:
        network: it stays as it is.
        folder: a new or empty one, or one that holds a saved network alone, which is replaced.

    Raises:
        sacp.errors.InputError: the network holds what cannot be written, or the folder holds something else or cannot
            be written to.
    """
    from sacp.pruning import files

    files.save(network, folder)


@_public
def load(folder: str | Path, network: Callable[..., Any] | None = None) -> nn.Module:
    """Load what `save` wrote, or a winner's folder, in evaluation mode, on the CPU; no code of the files is run.

    Args:
        folder: what `save` wrote, or the folder of a winner or a trained candidate.
        network: for networks of your own, the function that returns the unpruned one: `f()` for what `save` wrote,
            `f(num_classes=...)` for a winner. Networks of torchvision and of this package need none.

    Raises:
        sacp.errors.InputError: files are missing, damaged, changed since they were written, or do not fit together.
    """
    from sacp.pruning import files

    return files.load(folder, network)


@_public
def prune(
    network: nn.Module, example: Tensor | Sequence[int], *, flops: float | None = None,
    parameters: float | None = None, latency: float | str | None = None, ignore: Sequence[str] = (),
    round_to: int = 1, at_least: float = 1, criterion: str | None = None, score: str | None = None,
    images: Iterable[Tensor] = (), calibrate: Iterable[Tensor] | None = None, runtime: str = "eager", batch: int = 1,
    threads: int | None = None, timings: str | Path | None = None, levels: int = 10, proof: str = "auto",
    seed: int = 0, report: Callable[[Report], object] | None = None,
) -> nn.Module:  # fmt: skip
    """Prune a trained network to a budget; the result inherits its weights and still has to be trained.

    Give it `images`: channels and widths are then chosen by how much the logits depend on them.

    Of all ways to remove tenths of the channels of each group of layers within the budget, the one of the highest
    score. Where that cannot be solved exactly, the best that was found, and the log says what no other exceeds.
    Channels that cannot be pruned, as those that a layer norm or an attention mixes, stay; the log says why.

    Args:
        network: any that `sacp.tracing.trace` understands; it stays as it is.
        example: a batch of inputs, or the shape of one input with its batch axis, [1, C, H, W] or [1, ...].
        flops: most multiply-accumulates on one input: a fraction up to 1.0 is a share of the network's, an integer,
            or any number above 1, a number.
        parameters: most parameters, in the same way.
        latency: longest time for a batch: a share of the original's up to 1.0, or a text as `"3.5 ms"`. Layers are
            timed over their widths, the best network by these times is measured in turns with the original, and asked
            for again, three times at most, where it misses by more than a tenth.
        ignore: layers that keep all their channels, and so all that go with them: patterns of their names or of
            modules that they are in, as `["conv1", "layer4", "*.conv3"]`.
        round_to: every layer keeps a multiple of so many channels, or all of them.
        at_least: every layer keeps so many channels at least, or all it has; a share of them if less than 1.
        criterion: which channels of a group stay: `l1`, `fpgm`, `hrank`, `thinet`, `sensitivity`, `random`, or the
            import path `module:function` of one (network, graph, batches, seed) -> channels of each group, best first.
            None is `sensitivity` where `images` are given, else `l1`.
        score: what is maximised: `log-mass`; `sensitivity`, which looks at `images`; `nsc`, neural spectral capacity,
            which looks at widths alone; or the import path of a function (network, graph, levels) -> what each group
            adds at each step, [groups, levels], alone or in a tuple with the tables of pairs of groups. None is
            `sensitivity` where `images` are given, else `log-mass`.
        images: batches of training images [B, C, H, W], normalised as for training, without labels, of a criterion or
            score that looks at them (`hrank`, `thinet`, `sensitivity`: at the first 500); they are given in the
            network's type and on its device. `sensitivity` is for networks that return logits [B, classes].
        calibrate: batches of training images in the same form: the result's batch norms are fitted to them, so that
            it can be evaluated before it is trained.
        runtime: of a budget on latency: `eager`, or `onnxruntime`, which takes the extra `export`.
        batch: inputs at once, of a budget on latency.
        threads: of the CPU, of a budget on latency; None for as many as torch uses.
        timings: a file in which times of layers are kept from one call to the next.
        levels: into how many parts the channels of a group are divided.
        proof: the precision in which the result is compared with the original whose channels are masked: `auto`,
            which takes float32 for large networks, or `float64`.
        seed: of a criterion that draws.
        report: called with a `sacp.api.report.Report`, channels and costs of every layer before and after:
            `report=print` prints it as a table.

    Returns:
        The pruned network, in the mode of the original.

    Raises:
        sacp.errors.InputError: an argument has another form, the network is not understood, no bound is given, nothing
            is within it (the message has the narrowest network's costs), or the result is not what was planned.
    """
    from sacp.api import pruning

    return pruning.prune(
        network, example, flops=flops, parameters=parameters, ignore=ignore, round_to=round_to, at_least=at_least,
        latency=latency, criterion=criterion, score=score, images=images, calibrate=calibrate, runtime=runtime,
        batch=batch, threads=threads, timings=timings, levels=levels, proof=proof, seed=seed, report=report,
    )  # fmt: skip


@_public
def compare(network: nn.Module, smaller: nn.Module, example: Tensor | Sequence[int]) -> Report:
    """Channels, FLOPs and parameters of every layer of a network and of what it was pruned to; `print` shows a table.

    Raises:
        sacp.errors.InputError: one of them cannot be traced, or they do not have the same layers.
    """
    from sacp.api import pruning

    return pruning.compared(network, smaller, example)


@_public
def latency(
    network: nn.Module, example: Tensor | Sequence[int], *, original: nn.Module | None = None,
    batches: Sequence[int] = (1, 32), runtimes: Sequence[str] = ("eager", "onnxruntime"), threads: int | None = None,
    seconds: float = 2.0, channels_last: bool = False,
) -> list[Row]:  # fmt: skip
    """How long a network takes for a batch in evaluation mode: a row for each runtime and size of the batch.

    Args:
        network: any, on a CPU or a CUDA device; it stays as it is.
        example: a batch of inputs, whose first one is repeated, or the shape of one, [1, C, H, W] or [1, ...].
        original: another network that is run in turns with it; rows then say how many times as fast the network is.
        batches: how many inputs are given at once.
        runtimes: `eager`, which is PyTorch as it is, and `onnxruntime`, which takes the extra `export`, on a CPU.
        threads: of the CPU; None for as many as torch uses.
        seconds: how long each row is measured, about; ten runs of each network at least.
        channels_last: whether images lie in memory with their channels last, for `eager` alone.

    Raises:
        sacp.errors.InputError: an argument has another form, a package is missing, or a network fails or cannot be
            exported.
    """
    from sacp.timing import measure

    return measure.measure(
        network, example, original=original, batches=batches,
        runtimes=runtimes, threads=threads, seconds=seconds, channels_last=channels_last,
    )  # fmt: skip


@_public
def data(
    path: str | Path, *, image_size: int = 224, resize: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None, std: Sequence[float] | None = None, image: str | None = None,
    label: str | None = None, validation: float = 0.1, seed: int = 0,
) -> Data:  # fmt: skip
    """Images to calibrate, train and measure a network with.

    Args:
        path: a folder with `train/` and `val/`, each with a folder of image files for each class; or with
            `train.parquet` and `test.parquet`, or their shards, any data set in Hugging Face's layout.
        image_size: pixels of a side that networks see, of image files.
        resize: to what image files are scaled in evaluation before their middle is cut out: pixels of the shorter side,
            or height and width; None is 256/224 of `image_size`.
        mean: of each channel on the scale 0..1; None is ImageNet's of image files, the training images' of others.
        std: deviations, in the same way.
        image: column of the images in parquet files; None is `img` or `image`.
        label: column of the labels, as `fine_label`; None is `label`.
        validation: share of the training images that is held out, or their number.
        seed: decides which.

    Returns:
        `splits`, `classes`, `shape` [1, C, H, W], and `batches(2000)`, training images to calibrate with. `val/` and
        `test.parquet` are the test part.

    Raises:
        sacp.errors.InputError: nothing is there that can be read.
    """
    with _needing("command"):
        from sacp.api import data

        return data.data(
            path, image_size=image_size, resize=resize, mean=mean, std=std, image=image, label=label,
            validation=validation, seed=seed,
        )  # fmt: skip


@_public
def train(
    network: nn.Module, data: Data, *, epochs: int, lr: float = 0.01, batch_size: int = 128,
    weight_decay: float = 5e-4, warmup_epochs: float = 0, label_smoothing: float = 0, device: str = "auto",
    precision: str = "float32", seed: int = 0, state: str | Path | None = None, teacher: nn.Module | None = None,
    distill_weight: float | None = None, distill_temperature: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train a network in place as a workflow trains its candidates: SGD with momentum .9, a cosine to zero.

    Its batch norms are fitted to training images in the end.

    Args:
        network: in float32; gives a logit for each class, [B, classes], in training as in evaluation.
        data: what `sacp.data` returns.
        epochs: passes over the training images.
        lr: learning rate at the start, up to 10.
        batch_size: images of a step.
        weight_decay: L2 penalty on all parameters.
        warmup_epochs: of a linear rise to `lr` before the cosine.
        label_smoothing: share of the label that is spread evenly.
        device: `auto`, `cpu` or `cuda`; the network comes back to where it was.
        precision: `float32`, `bfloat16`, or `auto`, which takes the second where the device has it.
        seed: of order and augmentation.
        state: a file where the state is kept each minute. Killed and called again with the same arguments, the training
            goes on from there and ends in the same bits; the file is removed then.
        teacher: a network that is asked about the same images, as the unpruned one; it stays as it is.
        distill_weight: w of the loss (1 - w) CE + w T^2 KL(softmax(teacher / T) || softmax(network / T)) (Hinton et al.
            2015); 0.9 with a teacher.
        distill_temperature: T; 4 with a teacher.

    Returns:
        Accuracies on held-out and test images in percent, multiply-accumulates and parameters.

    Raises:
        sacp.errors.InputError: an argument has another form, the network does not fit the data, or the loss is not
            finite.
    """
    with _needing("command"):
        from sacp.api import training

    return training.train(
        network, data, epochs=epochs, lr=lr, batch_size=batch_size, weight_decay=weight_decay,
        warmup_epochs=warmup_epochs, label_smoothing=label_smoothing, device=device, precision=precision, seed=seed,
        state=state, teacher=teacher, distill_weight=distill_weight, distill_temperature=distill_temperature,
    )  # fmt: skip


@_public
def export(
    network: nn.Module, folder: str | Path, example: Tensor | Sequence[int],
    formats: Sequence[str] = ("torch", "onnx"),
) -> None:  # fmt: skip
    """Write a network as `save` does, and as programs that need neither its class nor this package.

    `network.pt2` is for `torch.export.load`, `network.onnx` for any runtime of ONNX; both take batches of any size.
    Each is read again and compared with the network in evaluation mode before the folder appears: no output differs by
    more than 1e-4 of its largest value. `torch.export.load` can unpickle, and so run code, if a file says so: load only
    files whose origin you trust.

    Args:
        network: it takes one tensor; it stays as it is.
        folder: a new or empty one, or one that holds an exported network alone, which is replaced.
        example: a batch of inputs [B, ...], or the shape of one input with its batch axis.
        formats: `torch`, `onnx` or both. `onnx` needs the packages of the extra `export`.

    Raises:
        sacp.errors.InputError: an argument has another form, packages are missing, the network cannot be written, or a
            format does not give what the network gives; names the format.
    """
    from sacp.deploy import export

    export.export(network, folder, example, formats)


@contextmanager
def _needing(extra: str) -> Iterator[None]:
    """Say how to install what is imported in the block, if it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "sacp":
            raise
        from sacp.errors import InputError

        raise InputError(f"the package '{error.name}' is missing; pip install 'sacp[{extra}]'") from None
