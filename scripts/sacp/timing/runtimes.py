"""What runs a network: PyTorch as it is (`eager`), or onnxruntime from an export that lies in memory."""

import copy
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sacp.errors import INTERRUPTS, InputError, nearest, told

RUNTIMES = EAGER, ONNXRUNTIME = ("eager", "onnxruntime")
DEVICES = ("cpu", "cuda")
MOST_THREADS = 1024  # many more than these end the process in OpenMP, without a word
EXTRA = "pip install 'sacp[export]'"
Pair = tuple[nn.Module, Tensor]  # a network in evaluation mode, and a batch for it on its device
Run = Callable[[], None]  # runs a network once, and returns when it has ended


@dataclass(frozen=True)
class Setting:
    """How networks are run.

    Raises:
        InputError: the runtime is not known, is not installed or does not do it, or a number is none from 1 on.
    """

    runtime: str
    batch: int
    threads: int
    channels_last: bool = False  # of images [B, C, H, W], in eager mode alone

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            known = nearest(str(self.runtime), RUNTIMES)
            raise InputError(f"runtimes: found {self.runtime!r}{known}, expected {' or '.join(RUNTIMES)}")
        for name, number in (("batches", self.batch), ("threads", self.threads)):
            if type(number) is not int or number < 1:
                raise InputError(f"{name}: found {number!r}, expected an integer from 1 on")
        if type(self.channels_last) is not bool:
            raise InputError(f"channels_last: found {self.channels_last!r:.80}, expected True or False")
        if self.threads > MOST_THREADS:
            raise InputError(f"threads: found {self.threads}, expected no more than {MOST_THREADS}")
        if self.runtime == ONNXRUNTIME:
            if self.channels_last:
                raise InputError("channels_last: onnxruntime chooses its own order; expected it with 'eager' alone")
            _imported("onnx", "onnxscript", "onnxruntime")

    @property
    def release(self) -> str:
        """The runtime with its version: times of one release say little about another."""
        package = "torch" if self.runtime == EAGER else self.runtime
        order = ", channels last" if self.channels_last else ""
        return f"{self.runtime} ({package} {version(package)}{order})"


def _imported(*names: str) -> list[Any]:
    """Modules of an extra of the project; `InputError` names what is missing."""
    try:
        return [import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise InputError(f"runtimes: onnxruntime needs the package '{error.name}'; {EXTRA}") from None


def device_of(network: nn.Module) -> torch.device:
    """The one device of a network's tensors; `InputError` for several, or one whose runs are not understood."""
    found = {tensor.device for tensor in (*network.parameters(), *network.buffers())} or {torch.device("cpu")}
    if len(found) > 1:
        raise InputError(f"network: found it on {', '.join(sorted(map(str, found)))}, expected one device")
    device = found.pop()
    if device.type not in DEVICES:
        raise InputError(f"network: found it on '{device}', expected {' or '.join(DEVICES)}")
    return device


def check_device(network: nn.Module, setting: Setting) -> None:
    """Raise `InputError` if a network is where its runtime is not used."""
    if (device := device_of(network)).type != "cpu" and setting.runtime == ONNXRUNTIME:
        expected = "expected one on the cpu for onnxruntime, or runtimes=('eager',)"
        raise InputError(f"runtimes: found a network on '{device}', {expected}")


def device_name(device: torch.device) -> str:
    """The model of a processor or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Let torch use so many threads in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ready(pairs: Sequence[Pair], setting: Setting) -> list[Run]:
    """What runs each of the networks once on its batch, whatever their number; each has run once.

    Raises:
        InputError: a network fails on its batch, cannot be exported, or is on a device that the runtime is not used on.
    """
    pairs = [_channels_last(*pair) for pair in pairs] if setting.channels_last else pairs
    for network, batch in pairs:
        check_device(network, setting)
        _tried(partial(_forward, network, batch), f"fails on a batch of shape {list(batch.shape)}")
    return _sessions(pairs, setting) if setting.runtime == ONNXRUNTIME else [_eager(*pair) for pair in pairs]


def _channels_last(network: nn.Module, batch: Tensor) -> Pair:
    """A copy of a network, and a batch, in this order: it is of the weights, which the caller's network shares."""
    if batch.dim() != 4:
        raise InputError(f"channels_last: found inputs of shape {list(batch.shape)}, expected [B, C, H, W]")
    order = torch.channels_last
    return copy.deepcopy(network).to(memory_format=order), batch.contiguous(memory_format=order)


def _tried(action: Callable[[], Any], found: str) -> Any:
    """Run what calls a user's forward: anything can be raised there."""
    try:
        return action()
    except INTERRUPTS:
        raise
    except BaseException as error:
        raise InputError(f"network: {found} ({told(error)})") from error


def _forward(network: nn.Module, batch: Tensor) -> None:
    with torch.inference_mode():
        network(batch)


def _eager(network: nn.Module, batch: Tensor) -> Run:
    def run() -> None:
        _forward(network, batch)
        if batch.is_cuda:
            torch.cuda.synchronize(batch.device)

    return run


def _sessions(pairs: Sequence[Pair], setting: Setting) -> list[Run]:
    """Sessions of onnxruntime on the CPU.

    Idle threads do not spin: those of one network would take time from the other, which runs in turns with it.
    """
    (onnxruntime,) = _imported("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = setting.threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors alone

    def session(model: bytes, batch: Tensor) -> Run:
        made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        given = {made.get_inputs()[0].name: batch.numpy()}
        made.run(None, given)
        return lambda: made.run(None, given) and None

    models = _tried(partial(_exported, pairs), "cannot be exported to ONNX")
    return [
        _tried(partial(session, model, batch), "cannot be run by onnxruntime")
        for model, (_, batch) in zip(models, pairs, strict=True)
    ]


class _Side(nn.Module):
    """Networks side by side, each with an input of its own."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, *batches: Tensor) -> tuple[Any, ...]:
        """What each gives for its batch."""
        return tuple(network(batch) for network, batch in zip(self.networks, batches, strict=True))


def _exported(pairs: Sequence[Pair]) -> list[bytes]:
    """Each network as an ONNX model. They are exported together, as an export takes half a second whatever is in it."""
    utils, tree = _imported("onnx.utils", "torch.utils._pytree")
    side = _Side([network for network, _ in pairs]).eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        batches = tuple(batch for _, batch in pairs)
        model = torch.onnx.export(side, batches, dynamo=True, verbose=False).model_proto  # type: ignore[union-attr]
        numbers = [len(tree.tree_leaves(network(batch))) for network, batch in pairs]
    extractor, outputs = utils.Extractor(model), iter([output.name for output in model.graph.output])
    return [
        extractor.extract_model([given.name], [next(outputs) for _ in range(number)]).SerializeToString()
        for given, number in zip(model.graph.input, numbers, strict=True)
    ]
