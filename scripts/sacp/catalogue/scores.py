"""Scores: what a search ranks its candidates by."""

from dataclasses import dataclass

from sacp.catalogue.names import entry

ARGUMENTS = ("network", "graph", "levels")  # of a closed form, before its settings


SENSITIVITY = "sensitivity"


@dataclass(frozen=True)
class Score:
    """A score of configurations; more is better."""

    function: str  # import path; see `search.scorers.of_score`
    additive: bool  # a sum over groups and pairs of them, a closed form that the exact search takes; else an encoder's
    settings: str | None  # the key of a method under which its settings stand
    text: str
    source: str
    needs: tuple[str, ...] = ()  # what a closed form is given beside its settings, measured: `sensitivity`
    exact: bool = True  # of a closed form: whether the exact search can tell its best from all others
    # Import path, scores [n] and the settings -> [n], in which accuracies are nearly a line; None: in the score itself.
    linear: str | None = None


SCORES = {
    "encoder": Score(
        "sacp.encoder.scorer:of_file", False, "encoder", "the encoder's score", "the paper, sections 3.2 to 3.4"
    ),
    "log-mass": Score(
        "sacp.search.log_mass:values", True, "exponents",
        "the weighted sum over layers of ln(kept share of the L1 mass)", "of our own",
    ),
    "sensitivity": Score(
        "sacp.search.sensitivity:values", True, "weighting",
        "the weighted sum over groups of 1 - 1 / (kept share of the L1 mass), weighted by measured sensitivities",
        "of our own", needs=(SENSITIVITY,), linear="sacp.search.sensitivity:linear",
    ),
    "nsc": Score(
        "sacp.search.spectral_capacity:values", True, "capacity",
        "neural spectral capacity, the sum over layers of E ln det(1 + W W^T) of random weights W of their shapes",
        "Zhu et al. 2026",
    ),
    "pruning-ratio": Score(
        "sacp.search.plain:pruning_ratio", True, None, "the least pruned first", "minus R of eq. 1", exact=False
    ),
    "random": Score("sacp.search.plain:random", True, None, "in the order in which they were drawn", "", exact=False),
}  # fmt: skip
DEFAULT = "encoder"
SEARCHES = {
    "sample": "the sample of M that all methods share",
    "exact": "the best of the whole space, for a score that is a sum over groups and pairs of them",
    "local": "the best that single moves reach from the best of the sample",
}
SAMPLE = "sample"


def score(name: str) -> Score:
    """The score of a name, or a closed form by import path; `InputError` if there is none."""
    return entry(name, SCORES, "score", lambda path: Score(path, True, None, f"the closed form `{path}`", ""))
