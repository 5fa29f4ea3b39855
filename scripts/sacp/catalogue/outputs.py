"""Tables and figures that a run ends in."""

from dataclasses import dataclass

from sacp.catalogue.names import entry


@dataclass(frozen=True)
class Figure:
    """A figure of an experiment, drawn by the rule `draw_` and its name."""

    title: str
    needs_encoder: bool = False  # only drawn where a search has an encoder
    needs_latency: bool = False  # only drawn where an experiment measures latency
    needs_sample: bool = False  # only drawn where an experiment compares predictors
    scores: bool = False  # whether candidates are scored for it, by the base's weights


FIGURES = {
    "method": Figure("The method on this run"),
    "sweeps": Figure("Accuracy against the number of candidates"),
    "encoder_loss": Figure("Training of the encoders", needs_encoder=True),
    "scores": Figure("Scores of all candidates"),
    "responses": Figure("What each score dislikes to prune", scores=True),
    "embedding": Figure("What the encoders see", needs_encoder=True, scores=True),
    "kept_channels": Figure("Channels that each method keeps"),
    "accuracy_flops": Figure("Accuracy against FLOPs"),
    "accuracy_latency": Figure("Accuracy against latency", needs_latency=True),
    "accuracy_cost": Figure("Accuracy against the time to find the network"),
    "latency": Figure("Speed against FLOPs", needs_latency=True),
    "learning_curves": Figure("Learning curves"),
    "predictors": Figure("What predicts accuracy, with intervals", needs_sample=True),
}


@dataclass(frozen=True)
class Table:
    """A table of the whole run, made by the rule `make_` and its name."""

    title: str
    needs_sample: bool = False  # only made where an experiment compares predictors
    measured: bool = True  # whether it waits for winners, or for the predictors


TABLES = {
    "table3": Table("Pruned networks (table 3)"),
    "table4": Table("Variants of the search (table 4)"),
    "predictors": Table("What predicts accuracy", needs_sample=True),
    "table1": Table("What pruning methods use, as the paper compares them (table 1)", measured=False),
}


def figure(name: str) -> Figure:
    """The figure of a name; `InputError` if there is none."""
    return entry(name, FIGURES, "figure")
