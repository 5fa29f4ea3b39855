"""From a data set, whatever its source, to the one file that trainings read."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sacp import imports
from sacp.images import folder
from sacp.images.folder import FileSet
from sacp.images.splits import digest
from sacp.seeds import derive


def prepare(dataset: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What the prepared file of a data set holds: tensors, and metadata with their digest.

    Images and labels of both parts; of image files, an index, whose digest does not cover their contents.

    Args:
        dataset: an entry of the config's `datasets`, with the import path of its `reader`.

    Raises:
        InputError: missing, truncated or foreign files.
    """
    train, test = imports.load(dataset["reader"])(dataset)
    if isinstance(train, FileSet):
        return folder.to_index(train, test)
    wanted = dataset.get("training_images", len(train.labels))
    if wanted < len(train.labels):
        drawn = np.random.default_rng(derive(0, "training images")).permutation(len(train.labels))[:wanted]
        train = train.part(torch.from_numpy(np.sort(drawn)))
    tensors = {
        "train_images": train.images, "train_labels": train.labels,
        "test_images": test.images, "test_labels": test.labels,
    }  # fmt: skip
    return tensors, {"digest": digest(train, test)}
