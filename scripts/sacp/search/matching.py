"""Searches at the FLOPs of another search's winner, so that what is compared costs the same."""

from collections.abc import Mapping
from typing import Any

from sacp.artefacts.files import read_json
from sacp.baselines.match_flops import BAND


def matching(search: Mapping[str, Any], winner: str | None) -> Mapping[str, Any]:
    """Settings of a search: as they are, or, if it matches a winner, those for the FLOPs in the file of its cost."""
    return matched(search, read_json(winner)["flops"]) if winner else search


def matched(search: Mapping[str, Any], flops: int) -> dict[str, Any]:
    """Settings of a search whose budget in FLOPs is a band around those of another search's winner.

    Args:
        search: settings; another budget in FLOPs gives way, one in parameters stays.
        flops: multiply-accumulates of the winner.
    """
    band = [flops * (1 - BAND), flops * (1 + BAND)]
    return {**search, "budget": {**search["budget"], "flops": band}}
