"""How fast images are decoded: generated JPEGs of ImageNet's usual size, by one worker process. `make bench-images`.

Pixels are smooth noise with finer noise on it, so that a file is about as large as one of ImageNet (110 kB on average).
"""

import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import numpy as np
import torch
from PIL import Image
from sacp.images.decoding import View, central_view, load, random_view
from sacp.images.folder import FileSet

WIDTH, HEIGHT, QUALITY, SHOWN, RESIZE = 500, 375, 90, 224, 256  # pixels, JPEG quality, pixels, pixels
IMAGES, BATCH, TURNS = 640, 64, 3


def write_images(folder: Path) -> FileSet:
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT))
        pixels = np.asarray(coarse, np.int16) + rng.normal(0, 20, (HEIGHT, WIDTH, 1)).astype(np.int16)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:04d}.jpg", quality=QUALITY)
    names = np.array([f"{number:04d}.jpg".encode() for number in range(IMAGES)])
    return FileSet(str(folder), names, torch.zeros(IMAGES, dtype=torch.int64), SHOWN, RESIZE)


def images_per_second(files: FileSet, view: View, workers: int) -> float:
    """The best of some turns, from the first batch on: starting the workers is left out."""
    rates = []
    for _ in range(TURNS):
        decoded = load(files, torch.arange(IMAGES).split(BATCH), view, workers)
        next(decoded)
        started = time.perf_counter()
        rest = sum(len(batch) for batch in decoded)
        rates.append(rest / (time.perf_counter() - started))
    return max(rates)


with tempfile.TemporaryDirectory() as name:
    files = write_images(Path(name))
    kilobytes = np.mean([path.stat().st_size for path in Path(name).iterdir()]) / 1000
    print(f"{platform.machine()}, torch {torch.__version__}; {IMAGES} JPEGs {WIDTH}x{HEIGHT}, {kilobytes:.0f} kB each")
    for what, view in (("training", random_view(SHOWN, True, 0, 0)), ("evaluation", central_view(SHOWN, RESIZE))):
        print(f"{what}: {images_per_second(files, view, workers=1):.0f} images/s by one worker process")
