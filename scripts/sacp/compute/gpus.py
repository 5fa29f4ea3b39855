"""GPUs of one machine shared out among jobs: each takes its own, and keeps it until its process ends.

Where Slurm has placed a job, it has set the job's devices already.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

log = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"
SET_BY_OTHERS = ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")  # a scheduler; torchrun, whose parent has taken them
LOOK_AGAIN_SECONDS = 1.0


def claim(device: str, number: int) -> list[str]:
    """Take `number` GPUs that no other job of this user has, and show this process no others.

    Waits until that many are free. The locks are open files: they pass on to a program that replaces this process and
    to its children, and the kernel drops them however the last of these ends.

    Args:
        device: `auto`, `cpu` or `cuda` of the config; on `cpu` nothing is taken.
        number: GPUs of the job; at most as many as there are.

    Returns:
        The names taken, as they stand in CUDA_VISIBLE_DEVICES; none where there is no GPU, or others have set them.
    """
    if device == "cpu" or any(name in os.environ for name in SET_BY_OTHERS):
        return []
    devices = _devices()
    number, waited = min(number, len(devices)), False
    while number:
        taken = _lock(devices, number)
        if len(taken) == number:
            os.environ[VISIBLE] = ",".join(taken)
            return list(taken)
        for handle in taken.values():
            os.close(handle)
        if not waited:
            log.warning("waiting for %d of %d GPUs; `--resources gpu=%d` starts no more jobs than these", number,
                        len(devices), len(devices))  # fmt: skip
        waited = True
        time.sleep(LOOK_AGAIN_SECONDS)
    return []


def _devices() -> list[str]:
    """Names of the GPUs that this process may use."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    return [str(index) for index in range(torch.cuda.device_count())]  # asks the driver, starts no context


def _lock(devices: Sequence[str], number: int) -> dict[str, int]:
    """Lock up to `number` of the devices; return their open files."""
    folder = Path(tempfile.gettempdir()) / f"sacp-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    taken: dict[str, int] = {}
    for name in devices:
        if len(taken) == number:
            break
        handle = os.open(folder / name.replace("/", "_"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        os.set_inheritable(handle, True)
        taken[name] = handle
    return taken
