"""Numbers in units that a reader has a feeling for, and how large a figure is."""

import math

DPI = 150  # pixels of a figure's PNG in an inch


def duration(hours: float) -> str:
    """Hours as text in days, hours, minutes or seconds; empty where there are none."""
    if math.isnan(hours):
        return ""
    seconds = 3600 * hours
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return _whole_and_rest(minutes // 60, "h", minutes % 60, "min")
    return _whole_and_rest(round(hours) // 24, "d", round(hours) % 24, "h")


def _whole_and_rest(whole: int, unit: str, rest: int, unit_of_rest: str) -> str:
    return f"{whole} {unit} {rest} {unit_of_rest}" if rest else f"{whole} {unit}"
