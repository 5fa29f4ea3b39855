"""How training computes: precision, determinism, generators. All of it is set for a block and restored after it."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sacp.errors import InputError

CUDNN: Any = torch.backends.cudnn  # its module makes some attributes when asked for them
DETERMINISTIC: Any = torch.utils.deterministic
log = logging.getLogger(__name__)
AUTO = "auto"  # of the config: the precision that a device is fast at
PRECISIONS = ("float32", "tf32", "bfloat16")


@dataclass(frozen=True)
class Engine:
    """How the arithmetic is done."""

    precision: str = "float32"  # float32: IEEE; tf32: TF32 tensor cores on GPUs that have them; bfloat16: autocast
    deterministic: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision: unknown '{self.precision}'; known: {', '.join(PRECISIONS)}")


EXACT = Engine()


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has units that multiply in bfloat16; elsewhere it is emulated, and slower than float32.

    GPUs of NVIDIA have them from compute capability 8 on, x86-64 has them as AVX512-BF16 and as AMX, which torch uses
    by oneDNN. Nothing was measured on other processors: they count as without.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    units = any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return units and torch.backends.mkldnn.is_available()


def engine_of(settings: Mapping[str, Any], device: torch.device, fast: bool) -> Engine:
    """The engine that the config's `engine` means on a device.

    Args:
        settings: `precision` and `deterministic`.
        device: where the training runs.
        fast: whether `auto` means bfloat16, as `has_bfloat16` says of the device; else it means float32.
    """
    precision = settings["precision"]
    if precision == AUTO:
        precision = "bfloat16" if fast else "float32"
    elif precision == "tf32" and device.type != "cuda":
        log.warning("precision: tf32 is a format of GPUs; computing in float32 on %s", device)
        precision = "float32"
    return Engine(precision, settings["deterministic"])


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of CPU and device; `torch.manual_seed` does it for all devices, and slowly."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


@contextlib.contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Leave the generators of CPU and device as they were before the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@contextlib.contextmanager
def arithmetic(engine: Engine, device: torch.device) -> Iterator[None]:
    """Set precision and determinism for a block."""
    matmul, conv = torch.backends.cuda.matmul, CUDNN.conv
    before = matmul.fp32_precision, conv.fp32_precision, CUDNN.benchmark
    determinism = torch.get_deterministic_debug_mode()
    filled = DETERMINISTIC.fill_uninitialized_memory
    try:
        matmul.fp32_precision = conv.fp32_precision = "tf32" if engine.precision == "tf32" else "ieee"
        CUDNN.benchmark = not engine.deterministic
        # A kernel without a deterministic form warns, by name, in the log. torch has another function for this, which
        # loads its compiler, a second of each job.
        torch.set_deterministic_debug_mode("warn" if engine.deterministic else "default")
        DETERMINISTIC.fill_uninitialized_memory = False
        yield
    finally:
        matmul.fp32_precision, conv.fp32_precision, CUDNN.benchmark = before
        torch.set_deterministic_debug_mode(determinism)
        DETERMINISTIC.fill_uninitialized_memory = filled
