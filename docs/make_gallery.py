"""The pictures of docs/gallery.md, made small, from the figures of a run: `make gallery`."""

import sys
from pathlib import Path

from PIL import Image

COLOURS = 128  # of a picture: enough for lines and letters with smooth edges


def shrunk(figure: Image.Image) -> Image.Image:
    """The figure on white with few colours: a third of the bytes or less."""
    opaque = Image.new("RGB", figure.size, "white")
    opaque.paste(figure, mask=figure.convert("RGBA").getchannel("A"))
    # The other methods merge the colours of small markers with others.
    return opaque.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def main(figures: Path, target: Path) -> None:
    """Write a picture for each figure, under the figure's name."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(figures.glob("*/*.png")):
        shrunk(Image.open(path)).save(target / f"{path.parent.name}.png", optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
