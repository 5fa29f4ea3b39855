"""Sources of data sets: what their images are, and the module that reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sacp import imports
from sacp.catalogue.names import entry

IMAGE_SIZE = 224  # pixels of a side, of image files where a config gives no other


@dataclass(frozen=True)
class Source:
    """A source of images."""

    module: str  # has `read`, `check` and `count`, each of an entry of the config's `datasets`
    channels: int
    image_size: int | None  # pixels of a side; None: the config's entry or `shape` says it, and how many classes
    classes: int | None
    keys: tuple[str, ...]  # of a config's entry, beside `source`
    text: str
    files: str = ""  # import path: paths that the prepared data depend on; none where they are a million
    shape: str = ""  # import path: channels, image size and classes as the files say
    preparation: str = ""  # import path: measures how long reading takes; not where `count` gives None


HASHED = "sacp.forecast.preparation:hashed"
CIFAR = (3, 32, 10)
STATISTICS = ("mean", "std")  # keys of all sources
IN_MEMORY = ("path", "training_images", *STATISTICS)  # keys of sources whose images are held in memory
SOURCES = {
    "digits": Source(
        "sacp.images.digits", 1, 8, 10, ("training_images", *STATISTICS), "scikit-learn's digits, embedded",
        preparation="sacp.forecast.preparation:digits",
    ),
    "torchvision": Source(
        "sacp.images.cifar10", *CIFAR, IN_MEMORY, "CIFAR-10, by torchvision's download", preparation=HASHED
    ),
    "folder": Source("sacp.images.cifar10", *CIFAR, IN_MEMORY, "CIFAR-10 in torchvision's layout", preparation=HASHED),
    "parquet": Source(
        "sacp.images.parquet", 3, None, None, (*IN_MEMORY, "image", "label", "test", "classes"),
        "any data set in Hugging Face's layout of parquet files, images of one size", "sacp.images.parquet_parts:files",
        "sacp.images.parquet_parts:shape", "sacp.forecast.preparation:parquet",
    ),
    "imagefolder": Source(
        "sacp.images.folder", 3, None, None, ("path", "image_size", "classes", *STATISTICS, "resize", "crop"),
        "image files as ImageNet is laid out",
    ),
}  # fmt: skip


def source(dataset: Mapping[str, Any]) -> Source:
    """The source of an entry of the config's `datasets`; `InputError` if there is none."""
    return entry(dataset["source"], SOURCES, "source")


def shape(dataset: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, image size in pixels and number of classes of an entry of the config's `datasets`.

    Raises:
        InputError: files that say it cannot be read.
    """
    known = source(dataset)
    if known.shape:
        found: tuple[int, int, int] = imports.load(known.shape)(dataset)
        return found
    size = known.image_size or dataset.get("image_size", dataset.get("crop", IMAGE_SIZE))
    return known.channels, size, known.classes or dataset["classes"]


def files(dataset: Mapping[str, Any]) -> list[str]:
    """Paths of the files that a prepared data set depends on: none where a library brings them, or there are many."""
    known = source(dataset)
    return list(imports.load(known.files)(dataset)) if known.files else []
