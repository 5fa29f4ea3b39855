"""Small trees of image files that several tests share."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat")
SIZE, RESIZE = 16, 18  # pixels that networks see, and of the shorter side: 256/224 of them


def write_image(path: Path, seed: int, mode: str = "RGB") -> None:
    """An image of a size of its own, smooth enough for its parts to differ."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse.resize((int(rng.integers(20, 40)), int(rng.integers(20, 40)))).convert(mode).save(path)


def write_tree(root: Path, train: int = 7, val: int = 3) -> Path:
    """Class folders with `train` and `val` images each."""
    for part, number in (("train", train), ("val", val)):
        for label, name in enumerate(CLASSES):
            for image in range(number):
                write_image(root / part / name / f"{image}.jpeg", seed=100 * label + image + 1000 * (part == "val"))
    return root


def dataset(root: Path) -> dict[str, Any]:
    """The entry of such a tree in a config's `datasets`."""
    return {"source": "imagefolder", "path": str(root), "classes": 3, "image_size": SIZE}
