"""How images come to a network: what of an image file is shown in evaluation, and how channels are normalised.

Read wherever a config is, so without torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sacp.errors import InputError, shown

Resize = int | tuple[int, int]  # pixels of the shorter side, or height and width, as torchvision's Resize takes them
SHOWN_SHARE = 224 / 256  # of the shorter side, in evaluation, where nothing else is said
STATISTICS = ("mean", "std")


def resize_of(dataset: Mapping[str, Any], image_size: int) -> Resize:
    """To which size image files are scaled before their middle is cut out: a data set's `resize`, or the usual one."""
    given = dataset.get("resize", round(image_size / SHOWN_SHARE))
    return given if isinstance(given, int) else (given[0], given[1])


def check(dataset: Mapping[str, Any], channels: int, image_size: int | None) -> None:
    """Check `mean`, `std`, `resize` and `crop` of a data set.

    Args:
        dataset: an entry of a config's `datasets`.
        channels: of its images.
        image_size: pixels that networks see of its files; None where images are not scaled.

    Raises:
        InputError: a value has another form, or two contradict each other; names the key.
    """
    for key, other in (STATISTICS, STATISTICS[::-1]):
        if key in dataset:
            check_statistics(key, dataset[key], channels, dataset[key])
            if other not in dataset:
                raise InputError(f"{other}: missing; expected both or none, as {key} is {shown(dataset[key])}")
    if image_size is None:
        return
    if dataset.get("crop", image_size) != image_size:
        raise InputError(
            f"crop: found {dataset['crop']}, expected image_size, {image_size}: networks see what is cut out"
        )
    check_resize(resize_of(dataset, image_size), image_size)


def check_statistics(key: str, values: Sequence[float], channels: int, given: object) -> None:
    """Raise `InputError` unless `mean` or `std` has a number from 0 to 1 for each channel; shows what was given."""
    is_scale = all(0 <= value <= 1 and (value > 0 or key != "std") for value in values)  # NaN is not
    if len(values) != channels or not is_scale:
        above = " above 0" if key == "std" else ""
        raise InputError(
            f"{key}: found {shown(given)}, expected {channels} numbers{above} on the scale 0..1, one for each channel"
        )


def check_resize(resize: Resize, image_size: int) -> None:
    """Raise `InputError` unless the middle can be cut out of images that were scaled so."""
    if min(resize if isinstance(resize, tuple) else (resize,)) < image_size:
        raise InputError(
            f"resize: found {resize}, expected at least {image_size} pixels, which are cut out of the middle"
        )
