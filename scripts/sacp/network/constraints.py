"""What pruning has to leave alone: layers, multiples of channels, least numbers of channels."""

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any

from sacp.errors import InputError, shown

MOST = 1_000_000  # channels


class ConstraintError(InputError):
    """A constraint that is none, or not of this network."""


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

    @classmethod
    def of(cls, ignore: Any = (), round_to: Any = 1, at_least: Any = 1) -> "Constraints":
        """Constraints of arguments or of a config.

        Raises:
            ConstraintError: one of them has another form.
        """
        patterns = [ignore] if isinstance(ignore, str) else ignore
        is_list = isinstance(patterns, Sequence) and all(isinstance(each, str) and each for each in patterns)
        is_share = isinstance(at_least, Real) and 0 < float(at_least) < 1
        for name, found, is_right, expected in (
            ("ignore", ignore, is_list, "patterns of layers, as ['conv1', 'layer4.*']"),
            ("round_to", round_to, _is_number(round_to), f"an integer from 1 to {MOST}"),
            (
                "at_least",
                at_least,
                _is_number(at_least) or is_share,
                f"an integer from 1 to {MOST}, or a share below 1",
            ),
        ):
            if not is_right:
                raise ConstraintError(f"{name}: found {shown(found)}, expected {expected}")
        return cls(tuple(patterns), int(round_to), float(at_least) if is_share else int(at_least))

    def bounds(self, channels: int, copies: Iterable[int]) -> tuple[int, int]:
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
        ConstraintError: a pattern fits none.
    """
    found = set[str]()
    for pattern in constraints.ignore:
        fitting = [layer for layer in layers if any(fnmatchcase(part, pattern) for part in _with_parents(layer))]
        if not fitting:
            known = {part for layer in layers for part in _with_parents(layer)}
            near = difflib.get_close_matches(pattern, sorted(known), 1, 0)
            nearest = f"; the nearest is '{near[0]}'" if near else ""
            told = " ".join(pattern.split())[:80]
            fits = "which no convolution, no linear layer and no module that holds one fits"
            raise ConstraintError(f"ignore: found '{told}', {fits}{nearest}")
        found.update(fitting)
    return [layer for layer in layers if layer in found]


def _is_number(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 1 <= int(value) <= MOST


def _with_parents(layer: str) -> list[str]:
    """A layer's path and those of the modules that it is in, outermost last."""
    parts = layer.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
