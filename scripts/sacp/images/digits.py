"""scikit-learn's digits: 1,797 real images of 8x8 pixels that need no download."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sacp.images.splits import ImageSet

TEST_SHARE = 0.2
TRAINING, TEST = 1438, 359


def check(dataset: Mapping[str, Any]) -> None:
    """Nothing can be missing."""


def count(dataset: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of training and test images."""
    return TRAINING, TEST


def read(dataset: Mapping[str, Any]) -> tuple[ImageSet, ImageSet]:
    """Training and test images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))[:, None]  # grey levels 0..16
    labels = torch.from_numpy(digits.target.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    cut = round(len(labels) * TEST_SHARE)
    test, train = order[:cut], order[cut:]
    return ImageSet(images[train], labels[train]), ImageSet(images[test], labels[test])
