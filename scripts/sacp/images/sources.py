"""From a data set, whatever its source, to the one file that trainings read."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sacp import imports
from sacp.errors import InputError
from sacp.images import folder
from sacp.images.folder import FileSet
from sacp.images.preprocessing import STATISTICS
from sacp.images.splits import ImageSet, digest
from sacp.seeds import derive


def prepare(dataset: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What the prepared file of a data set holds: tensors, and metadata with their digest.

    Images and labels of both parts; of image files, an index, whose digest does not cover their contents. The metadata
    have `mean` and `std` too where the data set gives them.

    Args:
        dataset: an entry of the config's `datasets`, with the import path of its `reader`, and `channels`, `image_size`
            and `classes` of its images.

    Raises:
        InputError: missing, truncated or foreign files.
    """
    train, test = imports.load(dataset["reader"])(dataset)
    given = {key: json.dumps(dataset[key]) for key in STATISTICS if key in dataset}
    if isinstance(train, FileSet):
        tensors, about = folder.to_index(train, test)
        return tensors, about | given
    for part, images in (("training", train), ("test", test)):
        _check(images, part, dataset)
    wanted = dataset.get("training_images", len(train.labels))
    if wanted < len(train.labels):
        drawn = np.random.default_rng(derive(0, "training images")).permutation(len(train.labels))[:wanted]
        train = train.part(torch.from_numpy(np.sort(drawn)))
    tensors = {
        "train_images": train.images, "train_labels": train.labels,
        "test_images": test.images, "test_labels": test.labels,
    }  # fmt: skip
    return tensors, {"digest": digest(train, test), **given}


def _check(images: ImageSet, part: str, dataset: Mapping[str, Any]) -> None:
    """Raise `InputError` unless images and labels have the form for which the network is built."""
    size, classes = dataset["image_size"], dataset["classes"]
    expected, found = [dataset["channels"], size, size], list(images.images.shape[1:])
    if found != expected:
        raise InputError(f"{dataset['reader']}: {part} images of the shape {found}, expected {expected}")
    low, high = int(images.labels.min()), int(images.labels.max())
    if not 0 <= low <= high < classes:
        raise InputError(f"{dataset['reader']}: {part} labels from {low} to {high}, expected 0 to {classes - 1}")
