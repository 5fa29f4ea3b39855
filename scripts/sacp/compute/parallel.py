"""Several processes that train one network together, started by torchrun; for one process, all of it costs nothing."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sacp.compute import mortal

RUN = "TORCHELASTIC_RUN_ID"  # set by torchrun in the processes that it starts


@dataclass(frozen=True)
class Team:
    """The processes of one training; `rank` numbers them from 0."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """Sum over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def gathered(self, value: Tensor) -> Tensor:
        """The values of all processes, [n] -> [size, n]."""
        rows = torch.zeros(self.size, *value.shape, dtype=value.dtype, device=value.device)
        rows[self.rank] = value
        return self.total(rows)

    def largest(self, value: int, device: torch.device) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, device=device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def share_buffers(self, network: nn.Module) -> None:
        """Give every process the buffers of the first, such as running statistics."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)


ALONE = Team()


def launch(processes: int) -> None:
    """Replace this process by torchrun, which starts its script again in `processes` processes; there, go on.

    They end with torchrun, wherever they are: it cannot end them when it is killed, and they would wait for it long.
    """
    if processes == 1 or RUN in os.environ:
        return
    os.environ.setdefault("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    # torchrun takes the place of this process, so that its workers are children of this one's number.
    worker = mortal.command(sys.executable, "-u", sys.argv[0])
    sys.stdout.flush()
    os.execv(sys.executable, [*torchrun, "--no-python", *worker])


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[torch.device, Team]]:
    """Join the processes that torchrun started: this process's device and the team; `ALONE` outside torchrun."""
    if RUN not in os.environ:
        yield device, ALONE
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ["WORLD_SIZE"])))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device, Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
