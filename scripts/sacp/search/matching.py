"""Searches at the FLOPs of another search's winner, so that what is compared costs the same."""

from collections.abc import Mapping
from typing import Any

from sacp.baselines.match_flops import BAND


def matched(search: Mapping[str, Any], flops: int) -> dict[str, Any]:
    """Settings of a search whose budget in FLOPs is a band around those of another search's winner.

    Args:
        search: settings; another budget in FLOPs gives way, one in parameters stays.
        flops: multiply-accumulates of the winner.
    """
    band = [flops * (1 - BAND), flops * (1 + BAND)]
    return {**search, "budget": {**search["budget"], "flops": band}}
