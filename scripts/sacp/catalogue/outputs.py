"""Tables and figures that a run ends in."""

from dataclasses import dataclass

from sacp.catalogue.names import entry


@dataclass(frozen=True)
class Figure:
    """A figure of an experiment, drawn by the rule `draw_` and its name."""

    needs_encoder: bool = False  # only drawn where a search has an encoder
    needs_latency: bool = False  # only drawn where an experiment measures latency
    scores: bool = False  # whether candidates are scored for it, by the base's weights


FIGURES = {
    "method": Figure(),
    "sweeps": Figure(),
    "encoder_loss": Figure(needs_encoder=True),
    "scores": Figure(),
    "responses": Figure(scores=True),
    "embedding": Figure(needs_encoder=True, scores=True),
    "kept_channels": Figure(),
    "accuracy_flops": Figure(),
    "latency": Figure(needs_latency=True),
    "learning_curves": Figure(),
}


@dataclass(frozen=True)
class Table:
    """A table of the whole run, made by the rule `make_` and its name."""

    needs_sample: bool = False  # only made where an experiment compares predictors
    measured: bool = True  # whether it waits for winners, or for the predictors


TABLES = {"table3": Table(), "table4": Table(), "predictors": Table(needs_sample=True), "table1": Table(measured=False)}


def figure(name: str) -> Figure:
    """The figure of a name; `InputError` if there is none."""
    return entry(name, FIGURES, "figure")
