"""Images of any mode in RGB; those that have more than 8 bits a channel, or no colours, are refused."""

from PIL import Image

from sacp.errors import InputError

COLOURS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")  # Pillow's modes
DEEP = {"I": "32-bit integers or 16 bits", "F": "floats"}  # others that begin with I have 16 bits


def check_mode(image: Image.Image) -> None:
    """Raise `InputError` unless pixels have 8 bits a channel: Pillow would show others white, cut off at 255."""
    if image.mode not in COLOURS:
        kind = DEEP.get(image.mode, "16 bits" if image.mode.startswith("I") else "no colours of the screen")
        raise InputError(
            f"pixels of the mode '{image.mode}', {kind}; expected 8 bits a channel: save it scaled to 0..255"
        )


def in_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB; `InputError` if it cannot be shown so."""
    check_mode(image)
    return image.convert("RGB")
