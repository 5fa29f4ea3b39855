"""Images of any mode in RGB; those of more than 8 bits a channel, of no colours or of several frames are refused."""

from PIL import Image

from sacp.errors import InputError

COLOURS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")  # Pillow's modes
PREVIEWED = ("MPO",)  # JPEGs of cameras, with a smaller picture behind the first
DEEP = {"I": "32-bit integers or 16 bits", "F": "floats"}  # others that begin with I have 16 bits


def check_form(image: Image.Image) -> None:
    """Raise `InputError` unless it is one picture of 8 bits a channel: Pillow shows others white, cut off at 255."""
    if image.mode not in COLOURS:
        kind = DEEP.get(image.mode, "16 bits" if image.mode.startswith("I") else "no colours of the screen")
        raise InputError(
            f"pixels of the mode '{image.mode}', {kind}; expected 8 bits a channel: save it scaled to 0..255"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in PREVIEWED:
        raise InputError(f"{frames} frames, of which one would be shown; expected one: save each in a file of its own")


def in_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB; `InputError` if it cannot be shown so."""
    check_form(image)
    return image.convert("RGB")
