"""How training computes: precision, determinism, generators. All of it is set for a block and restored after it."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from sacp.errors import InputError

CUDNN: Any = torch.backends.cudnn  # its module makes some attributes when asked for them
DETERMINISTIC: Any = torch.utils.deterministic
log = logging.getLogger(__name__)
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
    if engine.precision == "tf32" and device.type != "cuda":
        log.warning("precision: tf32 is a format of GPUs; computing in float32 on %s", device)
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
