"""Batches of images on the device where they are learned from: seeded, augmented, normalised."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sacp.compute.parallel import ALONE, Team
from sacp.images.decoding import Watch, central_view, load, random_view
from sacp.images.folder import FileSet
from sacp.images.splits import Images, ImageSet
from sacp.seeds import derive

EVALUATION_BATCH, FILES_EVALUATION_BATCH = 1000, 128  # images
LEAST_IMAGES = 2  # of a batch in one process: batch norm has no variance of a single image
WAIT_SHARE = 0.1  # of an epoch, beyond which waiting for workers is worth a warning
log = logging.getLogger(__name__)


class Normalizer:
    """Maps uint8 images to normalised floats on a device."""

    def __init__(self, mean: Tensor, std: Tensor, device: torch.device) -> None:
        self.scale = (1 / (255 * std)).view(1, -1, 1, 1).to(device)
        self.shift = (mean / std).view(1, -1, 1, 1).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] -> float32 [B, C, H, W], channels last in memory."""
        return (images * self.scale - self.shift).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Batch:
    """Images float32 [B, C, H, W] and labels int64 [B] of one step in one process."""

    images: Tensor
    labels: Tensor
    total: int  # images of the step in all processes


class Source(Protocol):
    """What a training draws its batches from."""

    images: int  # that an epoch shows, in all processes

    def __len__(self) -> int:
        """Steps of an epoch."""
        ...

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch from step `first` on."""
        ...


def cut(images: int, batch_size: int, team: Team = ALONE) -> list[slice]:
    """Slices of an epoch's order, one for each step of all processes together.

    The last step may be smaller; it is left out where a process would get fewer than two images.
    """
    slices = [slice(start, min(start + batch_size, images)) for start in range(0, images, batch_size)]
    last = slices[-1].stop - slices[-1].start
    return slices[:-1] if last < LEAST_IMAGES * team.size and len(slices) > 1 else slices


def epoch_order(images: int, seed: int, epoch: int) -> tuple[Tensor, torch.Generator]:
    """The order of an epoch, a function of (seed, epoch), and the generator for what else the epoch draws. [n]."""
    generator = torch.Generator().manual_seed(derive(seed, "epoch", epoch))
    return torch.randperm(images, generator=generator), generator


class ResidentBatches:
    """Batches of images that live on the device: order, crop and flip are functions of (seed, epoch, sample) alone.

    Crops are taken from images padded with zeros; images lie with channels last, so that a crop copies whole pixels.
    """

    def __init__(
        self, data: ImageSet, normalizer: Normalizer, batch_size: int, crop_padding: int, flip: bool, team: Team = ALONE
    ) -> None:
        device = normalizer.scale.device
        pad = (0, 0, *(crop_padding,) * 4)
        self.padded = torch.nn.functional.pad(data.images.to(device).permute(0, 2, 3, 1), pad)  # [n, H + 2p, W + 2p, C]
        self.labels, self.size = data.labels.to(device), data.images.shape[-2:]
        self.normalizer, self.crop_padding, self.flip, self.team = normalizer, crop_padding, flip, team
        self.steps = cut(len(data.labels), batch_size, team)
        self.images = self.steps[-1].stop

    def __len__(self) -> int:
        return len(self.steps)

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch from step `first` on."""
        n, (height, width), device = len(self.labels), self.size, self.labels.device
        order, generator = epoch_order(n, seed, epoch)
        offsets = torch.randint(0, 2 * self.crop_padding + 1, (n, 2), generator=generator)
        flips = torch.rand(n, generator=generator) < (0.5 if self.flip else 0.0)
        order, offsets, flips = order.to(device), offsets.to(device), flips.to(device)  # once an epoch, not once a step
        y0, x0 = torch.arange(height, device=device), torch.arange(width, device=device)
        for step in self.steps[first:]:
            rows = order[step][self.team.rank :: self.team.size]
            y = offsets[rows, 0, None] + y0  # [B, H]
            x = offsets[rows, 1, None] + x0  # [B, W]
            x = torch.where(flips[rows, None], x.flip(1), x)
            images = self.padded[rows[:, None, None], y[:, :, None], x[:, None, :]]  # [B, H, W, C]
            yield Batch(self.normalizer(images.permute(0, 3, 1, 2)), self.labels[rows], step.stop - step.start)


class FileBatches:
    """Batches of images decoded as they are needed: order, crop and flip are functions of (seed, epoch, sample) alone.

    `workers` processes decode; as many as torch has threads if not given. Their number changes no bit.
    """

    def __init__(
        self, data: FileSet, normalizer: Normalizer, batch_size: int, flip: bool, team: Team = ALONE,
        workers: int | None = None,
    ) -> None:  # fmt: skip
        self.data, self.normalizer, self.flip, self.team = data, normalizer, flip, team
        self.workers = workers or torch.get_num_threads()
        self.steps = cut(len(data.labels), batch_size, team)
        self.images = self.steps[-1].stop
        self.warned = False

    def __len__(self) -> int:
        return len(self.steps)

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch from step `first` on; `InputError` names a file that cannot be decoded."""
        device, steps = self.normalizer.scale.device, self.steps[first:]
        order, _ = epoch_order(len(self.data.labels), seed, epoch)
        shares = [order[step][self.team.rank :: self.team.size] for step in steps]
        view, watch = random_view(self.data.image_size, self.flip, seed, epoch), Watch(device)
        decoded = watch.over(load(self.data, shares, view, self.workers, pinned=device.type == "cuda"))
        for step, rows, pixels in zip(steps, shares, decoded, strict=True):
            images = self.normalizer(pixels.to(device, non_blocking=True))
            yield Batch(images, self.data.labels[rows].to(device), step.stop - step.start)
        self._warn_of(watch.share())

    def _warn_of(self, share: float) -> None:
        if share > WAIT_SHARE and not self.warned:
            self.warned = True
            log.warning(
                "%.0f %% of the epoch was spent waiting for images; %d worker processes decode them, one per thread: "
                "raise `threads` and `threads_base`",
                100 * share, self.workers,
            )  # fmt: skip


def evaluation_batches(data: Images, normalizer: Normalizer, team: Team = ALONE) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's share of the images float32 [B, C, H, W] and labels [B], in large batches on the device."""
    mine = torch.arange(len(data.labels))[team.rank :: team.size]
    size = FILES_EVALUATION_BATCH if isinstance(data, FileSet) else EVALUATION_BATCH
    return plain_batches(data, normalizer, mine.split(size) if len(mine) else ())


def plain_batches(data: Images, normalizer: Normalizer, shares: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images float32 [B, C, H, W] and labels [B] by their numbers, share after share, without augmentation."""
    device = normalizer.scale.device
    if isinstance(data, FileSet):
        images = load(
            data, shares, central_view(data.image_size, data.resize), torch.get_num_threads(), device.type == "cuda"
        )
    else:
        images = (data.images[numbers] for numbers in shares)
    for pixels, numbers in zip(images, shares, strict=True):
        yield normalizer(pixels.to(device)), data.labels[numbers].to(device)


def drawn_batches(data: Images, normalizer: Normalizer, number: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yield images float32 [B, C, H, W] drawn at random, all if there are fewer, in batches of about equal size."""
    numbers = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(seed))[:number]
    shares = numbers.tensor_split(max(1, -(-len(numbers) // size)))
    return (images for images, _ in plain_batches(data, normalizer, shares))
