"""Image files decoded in worker processes. What is seen of an image depends on no worker and on no other image."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sacp.errors import InputError, one_line
from sacp.images.folder import FileSet
from sacp.images.forking import Fork
from sacp.images.pixels import in_rgb
from sacp.images.preprocessing import Resize
from sacp.seeds import derive

View = Callable[[Image.Image, int], Image.Image]  # what is shown of an image, given its row


def random_view(image_size: int, flip: bool, seed: int, epoch: int) -> View:
    """A random part of 8 to 100 % of the area, resized, and mirrored half the time: a function of (seed, epoch, row).

    It seeds the global generator of the process that calls it, which should be a worker.
    """
    from torchvision.transforms import v2

    drawn = v2.Compose([v2.RandomResizedCrop(image_size), v2.RandomHorizontalFlip(0.5 if flip else 0.0)])

    def view(image: Image.Image, row: int) -> Image.Image:
        torch.default_generator.manual_seed(derive(seed, "view", epoch, row))
        shown: Image.Image = drawn(image)
        return shown

    return view


def central_view(image_size: int, resize: Resize) -> View:
    """The middle of the image, scaled to `resize` before, the same each time."""
    from torchvision.transforms import v2

    middle = v2.Compose([v2.Resize(resize), v2.CenterCrop(image_size)])

    def view(image: Image.Image, row: int) -> Image.Image:
        shown: Image.Image = middle(image)
        return shown

    return view


class _Pictures(Dataset[Tensor | InputError]):
    """Batches of decoded images, by their rows. Errors are returned: raising would add a traceback to the message."""

    def __init__(self, files: FileSet, view: View) -> None:
        self.files, self.view = files, view

    def __getitem__(self, rows: Tensor) -> Tensor | InputError:
        try:
            return torch.stack([self._picture(row) for row in rows.tolist()])
        except InputError as error:
            return error

    def _picture(self, row: int) -> Tensor:
        from torchvision.transforms.v2.functional import pil_to_tensor

        path = self.files.path(row)
        try:
            with Image.open(path) as image:
                picture: Tensor = pil_to_tensor(self.view(in_rgb(image), row))
        except Exception as error:  # decoders meet arbitrary bytes with arbitrary exceptions
            raise InputError(f"{path}: cannot be read as an image ({one_line(error)})") from None
        return picture


def load(files: FileSet, batches: Sequence[Tensor], view: View, workers: int, pinned: bool = False) -> Iterator[Tensor]:
    """Decode images in worker processes, a few batches ahead.

    Args:
        files: where they lie.
        batches: rows of each batch, [B].
        view: what is shown of each.
        workers: number of processes, at least 1.
        pinned: whether to put batches where a GPU fetches them without waiting.

    Yields:
        uint8 [B, 3, H, W] for each of `batches`, in their order.

    Raises:
        InputError: a file cannot be decoded.
    """
    loader: DataLoader[Tensor | InputError] = DataLoader(
        _Pictures(files, view), batch_size=None, sampler=batches, num_workers=workers, pin_memory=pinned,
        generator=torch.Generator(),  # else the loader draws from the global one
        multiprocessing_context=Fork(),  # another method would run the script again
        worker_init_fn=_leave_signals_to_the_parent,
    )  # fmt: skip
    for images in loader:
        if isinstance(images, InputError):
            raise images
        yield images


def _leave_signals_to_the_parent(worker: int) -> None:
    """Schedulers signal all processes of a job. The parent saves its state first, and ends its workers itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


class Watch:
    """Adds up how long a device waits for its batches, by the GPU's own clock if it is one: Python runs ahead of it."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.started = device, time.monotonic()
        self.waits: list[tuple[Any, Any]] = []  # marks before and after

    def over(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        """Pass `batches` on."""
        while True:
            before = self._mark()
            images = next(batches, None)
            if images is None:
                return
            self.waits.append((before, self._mark()))
            yield images

    def share(self) -> float:
        """Share of the time since the start that was spent waiting."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            waited = sum(before.elapsed_time(after) for before, after in self.waits) / 1000
        else:
            waited = sum(after - before for before, after in self.waits)
        return float(waited / (time.monotonic() - self.started))

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.monotonic()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event
