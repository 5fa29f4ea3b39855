"""Times of layers that were measured once, in a JSON file: {setting: {layer: nanoseconds}}."""

from pathlib import Path

import torch

from sacp.artefacts.files import read_json, write_json
from sacp.errors import InputError
from sacp.timing.runtimes import Setting, device_name


def described(setting: Setting, device: torch.device, dtype: torch.dtype) -> str:
    """All but the layer that its time depends on; the batch is in the layer's shape."""
    kind = str(dtype).removeprefix("torch.")
    return f"{device_name(device)}, {setting.release}, threads {setting.threads}, {kind}"


class Known:
    """The times under one setting, on a file or, without one, in memory.

    The file is written whole after each layer, so that a measurement that was killed goes on where it was. Of several
    processes that measure at once, each keeps what the others have written before it writes.

    Raises:
        InputError: the file is there and holds something else.
    """

    def __init__(self, path: str | Path | None, setting: str) -> None:
        self.path = None if path is None else Path(path)
        self.setting = setting
        self.times = self._read().get(setting, {})

    def add(self, measured: dict[str, int]) -> None:
        """Keep times in nanoseconds by layer."""
        self.times |= measured
        if self.path is not None:
            every = self._read()
            self.times = every[self.setting] = every.get(self.setting, {}) | self.times
            write_json(self.path, every)

    def _read(self) -> dict[str, dict[str, int]]:
        if self.path is None or not self.path.exists():
            return {}
        every = read_json(self.path)
        for setting, times in every.items():
            if not isinstance(times, dict):
                raise InputError(f"{self.path}: '{setting}' holds {times!r:.80}, expected times by layer")
            for layer, time in times.items():
                if type(time) is not int or time < 1:
                    raise InputError(f"{self.path}: '{layer}' holds {time!r:.80}, expected nanoseconds from 1 on")
        return every
