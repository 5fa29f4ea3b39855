"""What the rules say, read as text."""

import re
from collections import Counter
from collections.abc import Iterable

from checkout import ROOT
from sacp.plan.experiments import Experiments

RULE = re.compile(r"^(?:rule|checkpoint) (\w+):\n((?:[ ].*\n|\n)+)", re.MULTILINE)


def rules() -> dict[str, str]:
    """The text of every rule, by its name."""
    return dict(RULE.findall("\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))))


def records(experiments: Experiments) -> dict[str, re.Pattern[str]]:
    """Patterns of the records that rules write for a config, by rule; figures' and tables' are left out."""
    wildcards = dict(re.findall(r'^    (\w+)=r?"([^"]+)",$', (ROOT / "Snakefile").read_text(), re.MULTILINE))
    found = {}
    for rule, text in rules().items():
        written = re.search(r'provenance="([^"]+)"', text)
        if written is None:
            continue
        own = wildcards | {"method": _methods(text, experiments) or wildcards["method"]}
        start, *pieces = re.split(r"\{(\w+)\}", written[1])
        pattern, named = re.escape(start), set[str]()
        for name, rest in zip(pieces[::2], pieces[1::2], strict=True):
            pattern += (f"(?P={name})" if name in named else f"(?P<{name}>{own[name]})") + re.escape(rest)
            named.add(name)
        found[rule] = re.compile(pattern)
    return found


def _methods(text: str, experiments: Experiments) -> str | None:
    """A rule's own constraint on methods."""
    if made := re.search(r'method=experiments\.made_by\("(\w+)"\)', text):
        return experiments.made_by(made[1])
    return experiments.finders() if "method=experiments.finders()" in text else None


def count(found: Iterable[str], experiments: Experiments) -> Counter[str]:
    """How many records of each rule there are. Each must be that of one rule."""
    patterns = records(experiments)
    by_rule = Counter[str]()
    for record in found:
        matching = [rule for rule, pattern in patterns.items() if pattern.fullmatch(record)]
        assert len(matching) == 1, (record, matching)
        by_rule[matching[0]] += 1
    return by_rule
