"""How long it takes to read a data set, by its source: each function takes the number of images and their form."""

import io
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from PIL import Image

from sacp.artefacts.files import atomic
from sacp.images import digits as digits_source
from sacp.images import parquet as parquet_source
from sacp.images.parquet_parts import PARTS
from sacp.images.splits import ImageSet, digest
from sacp.network.spec import NetworkSpec

DECODED = 500  # images of each part that are decoded or hashed, to stand for all


def digits(images: int, spec: NetworkSpec) -> float:
    """Seconds to read the digits, by reading them."""
    started = time.monotonic()
    digits_source.read({})
    return time.monotonic() - started


def parquet(images: int, spec: NetworkSpec) -> float:
    """Seconds to decode parquet files, from decoding small ones of the same kind."""
    with TemporaryDirectory() as folder:
        for part in PARTS:
            _write_parquet(Path(folder) / f"{part}.parquet", spec.image_size)
        started = time.monotonic()
        parquet_source.read({"path": folder})
        return (time.monotonic() - started) * images / (2 * DECODED) + hashed(images, spec)


def hashed(images: int, spec: NetworkSpec) -> float:
    """Seconds to hash images, which is what reading torchvision's files amounts to.

    ASSUME: a download takes no time, and files are read as fast as they are hashed.
    """
    part = ImageSet(torch.zeros(DECODED, *spec.input_shape[1:], dtype=torch.uint8), torch.zeros(DECODED))
    started = time.monotonic()
    digest(part, part)
    return (time.monotonic() - started) * images / (2 * DECODED)


def _write_parquet(path: Path, size: int) -> None:
    """Write random images as PNG in Hugging Face's layout."""
    rng, rows = np.random.default_rng(0), []
    for number in range(DECODED):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(buffer, "PNG")
        rows.append({"img": {"bytes": buffer.getvalue(), "path": str(number)}, "label": number % 10})
    with atomic(path) as temporary:
        pd.DataFrame(rows).to_parquet(temporary)
