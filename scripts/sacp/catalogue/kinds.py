"""Kinds of methods: how each comes by the networks that are trained fully, and what that takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sacp.catalogue.names import entry

SEARCH, TUNED = "search", "tuned"
ARGUMENTS = ("task",)  # of a baseline's function
ALWAYS = ("kind", "match")  # keys of every method
TRAININGS = "trainings"  # a key of every baseline
WEIGHTS, OWN = "weights", "own"  # a key of baselines that train while they choose: base, or what they have ended in
SELECT, TRAIN = "select_baseline", "train_baseline"  # rules that serve several kinds, each by a function of its own
SELECTION = "selection"  # the recipe of an experiment by which baselines train while they choose
# What a method can remove: channels of all groups, or of inner ones alone, which one layer makes, as within a residual
# block; and where its numbers are not free.
ALL, INNER, ONE = "all groups", "inner groups", "all groups, by one ratio"
SUMS_ALIKE, OF_FUNCTION = "all groups, those of sums by one ratio", "what its function says"


@dataclass(frozen=True)
class Kind:
    """A kind of method."""

    text: str
    source: str
    cost: str  # what it takes beside the full training
    keys: tuple[str, ...]  # of a method, beside those of every method
    rule: str | None = None  # a baseline's: makes kept.json, at the FLOPs of the matched winner
    function: str | None = None  # that its rule calls, if the rule serves several kinds
    inputs: tuple[str, ...] = ()  # of its rule, beside network, base and the matched winner: data, sparse
    settings: tuple[str, ...] = ()  # parts of an experiment that its rule takes
    tunings: str | None = None  # part of an experiment that says how many networks its rule tunes
    options: str | None = None  # a key of the method: settings of this kind alone
    space: str = ALL  # what it can remove
    other_space: tuple[str, Any, str] | None = None  # one of `options`, a value of it, and what it can remove then

    def __post_init__(self) -> None:
        if self.function and not (self.rule in (SELECT, TRAIN) and {"space", "validation"} <= set(self.settings)):
            raise ValueError(f"a kind with a function needs {SELECT} or {TRAIN}, and its settings space and validation")

    @property
    def is_baseline(self) -> bool:
        """Whether it matches another method's winner in FLOPs, with kept channels of its own."""
        return self.rule is not None


KINDS = {
    SEARCH: Kind(
        "the best-scored m candidates are tuned, the best k of them trained", "the paper, section 3.5",
        "m networks tuned, k trained fully",
        ("score", "encoder", "exponents", "weighting", "capacity", "labels", "search", "budget", "criterion", "rerank"),
    ),
    TUNED: Kind(
        "the best of another search's m tuned networks, as it was tuned", "SACP-2 of section 4.4",
        "nothing: its match has tuned them", (),
    ),
    "uniform": Kind(
        "one ratio for all groups", "Li et al. 2016", "nothing", ("criterion", TRAININGS), SELECT,
        "sacp.baselines.uniform:select", settings=("space", "validation"), space=ONE,
    ),
    "random": Kind(
        "a random configuration of the search space", "", "nothing", ("criterion", TRAININGS), SELECT,
        "sacp.baselines.random_ratios:select", settings=("space", "validation"),
    ),
    "slimming": Kind(
        "one threshold for all batch norms' scales after a sparse training", "Liu et al. 2017, section 3",
        "one sparse training of the base (`sparse`)", (TRAININGS,),
        SELECT, "sacp.baselines.slimming:select", inputs=("sparse",), settings=("space", "validation"),
    ),
    "colony": Kind(
        "a bee colony searches kept counts, judged by validation accuracy after `tune`",
        "ABCPruner, Lin et al. 2020, section 3.3",
        "as many networks tuned as `colony` says", (TRAININGS,), "search_colony", inputs=("data",),
        settings=("colony", "tune", "validation"), tunings="colony",
    ),
    "amc": Kind(
        "an agent walks through the groups and names their shares, rewarded by the accuracy of what is left, untrained",
        "AMC, He et al. 2018", "as many networks evaluated as `episodes` says", ("amc", TRAININGS), TRAIN,
        "sacp.baselines.amc.select:select", inputs=("data",), settings=("space", "validation"), options="amc",
    ),
    "agmc": Kind(
        "an agent sees the graph of filters and names the shares of all groups at once, rewarded in the same way",
        "AGMC, Yu et al. 2021", "as many networks evaluated as `episodes` says", ("agmc", TRAININGS), TRAIN,
        "sacp.baselines.agmc.select:select", inputs=("data",), settings=("space", "validation"), options="agmc",
        space=SUMS_ALIKE, other_space=("actions", "groups", ALL),
    ),
    "metapruning": Kind(
        "a network that makes the weights of all widths is trained, and an evolution searches widths by them",
        "MetaPruning, Liu et al. 2019",
        "one training of that network (`selection`), 50 networks evaluated each generation",
        ("metapruning", TRAININGS), TRAIN, "sacp.baselines.metapruning.select:select", inputs=("data",),
        settings=(SELECTION, "space", "validation"), options="metapruning",
    ),
    "apib": Kind(
        "one penalty for all layers on channels that explain what the next layer gives, by one batch of images",
        "APIB, Guo et al. 2023", "nothing", ("apib", TRAININGS), TRAIN, "sacp.baselines.apib.select:select",
        inputs=("data",), settings=("space", "validation"), options="apib", space=INNER,
        other_space=("sums", True, ALL),
    ),
    "oto": Kind(
        "an optimiser trains the base and drives redundant channels to zero", "OTOv2, Chen et al. 2023; HESSO, 2024",
        "one training of the base (`selection`)", ("oto", WEIGHTS, TRAININGS), TRAIN, "sacp.baselines.oto:select",
        inputs=("data",), settings=(SELECTION, "space", "validation"), options="oto",
    ),
    "gal": Kind(
        "a copy of the base learns its logits, and masks of channels fall to zero", "GAL, Lin et al. 2019, section 3",
        "one training of the base (`selection`)", ("gal", WEIGHTS, TRAININGS), TRAIN, "sacp.baselines.gal:select",
        inputs=("data",), settings=(SELECTION, "space", "validation"), options="gal", space=INNER,
    ),
    "ato": Kind(
        "a controller learns which channels are on while the base is trained", "ATO, Wu et al. 2024, algorithm 1",
        "one training of the base (`selection`)", ("ato", WEIGHTS, TRAININGS), TRAIN, "sacp.baselines.ato:select",
        inputs=("data",), settings=(SELECTION, "space", "validation"), options="ato", space=INNER,
    ),
}  # fmt: skip


OPTIONS = tuple(each.options for each in KINDS.values() if each.options)  # keys of methods


def kind(name: str) -> Kind:
    """The kind of a name, or a baseline by import path; `InputError` if there is none."""
    return entry(name, KINDS, "kind", _imported)


def _imported(path: str) -> Kind:
    return Kind(
        f"kept channels by `{path}`", "", "what the function takes", ("criterion", TRAININGS), SELECT, path,
        inputs=("data",), settings=("space", "validation"), space=OF_FUNCTION,
    )  # fmt: skip


def of(method: Mapping[str, Any]) -> Kind:
    """The kind of a config's method."""
    return kind(method["kind"])


def space(method: Mapping[str, Any]) -> str:
    """What a config's method, whose defaults are filled in, can remove."""
    known = of(method)
    if known.options and known.other_space:
        option, value, other = known.other_space
        return other if method[known.options][option] == value else known.space
    return known.space


def matched(method: Mapping[str, Any]) -> str | None:
    """The method whose winner's FLOPs a config's method has to meet, if it has to meet any."""
    return None if method["kind"] == TUNED else method.get("match")
