"""Sources of data sets: what their images are, and the module that reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sacp.catalogue.names import entry

IMAGE_SIZE = 224  # pixels of a side, of image files where a config gives no other


@dataclass(frozen=True)
class Source:
    """A source of images."""

    module: str  # has `read`, `check` and `count`, each of an entry of the config's `datasets`
    channels: int
    image_size: int | None  # pixels of a side; None: the config's entry says it, and how many classes there are
    classes: int | None
    keys: tuple[str, ...]  # of a config's entry, beside `source`
    text: str
    files: tuple[str, ...] = ()  # below `path`, that the prepared data depend on; none where they are a million
    preparation: str = ""  # import path: measures how long reading takes; not where `count` gives None


HASHED = "sacp.forecast.preparation:hashed"
CIFAR = (3, 32, 10)
IN_MEMORY = ("path", "training_images")  # keys of sources whose images are held in memory
SOURCES = {
    "digits": Source(
        "sacp.images.digits", 1, 8, 10, ("training_images",), "scikit-learn's digits, embedded",
        preparation="sacp.forecast.preparation:digits",
    ),
    "torchvision": Source(
        "sacp.images.cifar10", *CIFAR, IN_MEMORY, "CIFAR-10, by torchvision's download", preparation=HASHED
    ),
    "folder": Source("sacp.images.cifar10", *CIFAR, IN_MEMORY, "CIFAR-10 in torchvision's layout", preparation=HASHED),
    "parquet": Source(
        "sacp.images.parquet", *CIFAR, IN_MEMORY, "CIFAR-10 in Hugging Face's layout",
        ("train.parquet", "test.parquet"), "sacp.forecast.preparation:parquet",
    ),
    "imagefolder": Source(
        "sacp.images.folder", 3, None, None, ("path", "image_size", "classes"),
        "image files as ImageNet is laid out",
    ),
}  # fmt: skip


def source(dataset: Mapping[str, Any]) -> Source:
    """The source of an entry of the config's `datasets`; `InputError` if there is none."""
    return entry(dataset["source"], SOURCES, "source")


def shape(dataset: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, image size in pixels and number of classes of an entry of the config's `datasets`."""
    known = source(dataset)
    size = known.image_size or dataset.get("image_size", IMAGE_SIZE)
    return known.channels, size, known.classes or dataset["classes"]
