"""What pruning has to leave alone: layers, multiples of channels, least numbers of channels."""

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sacp.errors import InputError


@dataclass(frozen=True)
class Constraints:
    """What holds for the kept channels of every layer.

    ignore: patterns of the layers that keep all their channels, as `layer1.0.conv1`, `layer4` (all in it), `*.conv3`.
    round_to: kept channels are a multiple of this, or all of them.
    at_least: as many channels are kept, at least; a share of the layer's if less than 1.
    """

    ignore: tuple[str, ...] = ()
    round_to: int = 1
    at_least: float = 1

    def of(self, channels: int, copies: Iterable[int]) -> tuple[int, int]:
        """Least number of channels that a group keeps, and what it is a multiple of.

        Args:
            channels: of the group.
            copies: of each of them, by layer: a layer is `copies` times as wide as the group.
        """
        copies = tuple(copies)
        multiple = math.lcm(*(self.round_to // math.gcd(self.round_to, each) for each in copies))
        least = max(self._least(channels * each, each) for each in copies)
        return min(channels, -(-least // multiple) * multiple), multiple

    def _least(self, width: int, copies: int) -> int:
        """Channels of a group that make a layer of this width as wide as it has to be."""
        # A share as it is written: 0.3 of 10 channels are 3.
        wanted = math.ceil(round(self.at_least * width, 9)) if self.at_least < 1 else self.at_least
        return max(1, math.ceil(wanted / copies))


NONE = Constraints()


def ignored(constraints: Constraints, layers: Sequence[str]) -> list[str]:
    """The layers that keep all their channels.

    Raises:
        InputError: a pattern fits none.
    """
    found = set[str]()
    for pattern in constraints.ignore:
        fitting = [layer for layer in layers if any(fnmatchcase(part, pattern) for part in _with_parents(layer))]
        if not fitting:
            known = {part for layer in layers for part in _with_parents(layer)}
            near = difflib.get_close_matches(pattern, sorted(known), 1, 0)
            nearest = f"; the nearest is '{near[0]}'" if near else ""
            raise InputError(f"ignore: found '{pattern:.80}', which no layer or module fits{nearest}")
        found.update(fitting)
    return [layer for layer in layers if layer in found]


def _with_parents(layer: str) -> list[str]:
    """A layer's path and those of the modules that it is in, outermost last."""
    parts = layer.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
