"""Zero-cost predictors: what is said of a pruned network before it is tuned, compared with scores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Predictor:
    """A number that a network has before it is tuned; more is better."""

    function: str  # import path, called with (network, images, seed)
    text: str
    source: str


ZERO_COST = {
    "synflow": Predictor(
        "sacp.training.zero_cost:synflow",
        "ln of the sum over weights of w dR/dw, of their magnitudes and an input of ones",
        "Tanaka et al. 2020; without batch norms, Abdelfattah et al. 2021",
    ),
    "naswot": Predictor(
        "sacp.training.zero_cost:naswot", "ln det of how many units two images switch alike", "Mellor et al. 2021"
    ),
    "near": Predictor(
        "sacp.training.zero_cost:near", "sum of the effective ranks of what layers and activations give",
        "Husistein et al. 2024",
    ),
    "zen": Predictor(
        "sacp.training.zero_cost:zen", "how much the last maps of random weights change with the input",
        "Lin et al. 2021, algorithm 1",
    ),
    "nsc": Predictor(
        "sacp.search.spectral_capacity:of_network", "neural spectral capacity of all layers", "Zhu et al. 2026"
    ),
}  # fmt: skip
