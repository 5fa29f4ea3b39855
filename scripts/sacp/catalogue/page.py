"""The tables of docs/methods.md, made from what the catalogue holds: `make docs`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from sacp.catalogue.criteria import CRITERIA, Criterion
from sacp.catalogue.departures import ALL, DEPARTURES
from sacp.catalogue.kinds import KINDS, TUNED, WEIGHTS, Kind
from sacp.catalogue.predictors import ZERO_COST
from sacp.catalogue.scores import SCORES, SEARCHES, Score

BEGIN, END = "<!-- {}: made by `make docs` -->", "<!-- end -->"


def tables() -> dict[str, str]:
    """Markdown tables by name."""
    return {
        "kinds": _table(
            ("`kind`", "what becomes of it", "after", "its own keys", "prunes", "weights", "beside the full training"),
            [
                (f"`{name}`", kind.text, kind.source, _names(kind.keys), _space(kind), _weights(name), kind.cost)
                for name, kind in KINDS.items()
            ],
        ),
        "criteria": _table(
            ("`criterion`", "channels are kept", "after", "looks at"),
            [(f"`{name}`", each.text, each.source, _seen(each)) for name, each in CRITERIA.items()],
        ),
        "scores": _table(
            ("`score`", "candidates are ranked by", "after", "its settings", "`search: exact`"),
            [
                (f"`{name}`", each.text, each.source, _names([each.settings] if each.settings else []), _exact(each))
                for name, each in SCORES.items()
            ],
        ),
        "zero-cost": _table(
            ("`zero_cost`", "is", "after"), [(f"`{name}`", each.text, each.source) for name, each in ZERO_COST.items()]
        ),
        "departures": _table(
            ("of", "otherwise than published"),
            [(f"`{name}`" if name != ALL else name, text) for name, lines in DEPARTURES.items() for text in lines],
        ),
        "searches": _table(("`search`", "candidates are"), [(f"`{name}`", text) for name, text in SEARCHES.items()]),
    }


def filled(page: str) -> str:
    """A page with the table between each pair of marks regenerated."""
    for name, table in tables().items():
        before, mark, rest = page.partition(BEGIN.format(name))
        if mark:
            page = f"{before}{mark}\n\n{table}\n\n{END}{rest.partition(END)[2]}"
    return page


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _names(names: Sequence[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def _space(kind: Kind) -> str:
    if kind.other_space is None:
        return kind.space
    option, value, other = kind.other_space
    return f"{kind.space}; {other} with `{option}: {str(value).lower()}`"


def _weights(name: str) -> str:
    """What the full training starts from."""
    if name == TUNED:
        return "its match's"
    return "base, or own" if WEIGHTS in KINDS[name].keys else "base"


def _seen(criterion: Criterion) -> str:
    return f"{criterion.images} images" if criterion.images else "weights"


def _exact(score: Score) -> str:
    return "yes" if score.additive and score.exact else "no"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(filled(path.read_text()))
