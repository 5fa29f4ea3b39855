"""Criteria: which channels of a group are kept. A function orders them, best first."""

from dataclasses import dataclass

from sacp.catalogue.names import entry

IMAGES = 500  # that a criterion given by an import path sees
ARGUMENTS = ("network", "graph", "batches", "seed")  # of a criterion's function


@dataclass(frozen=True)
class Criterion:
    """A criterion of channels."""

    function: str  # import path, called with `ARGUMENTS` -> channels of each group, best first
    images: int  # most training images that it looks at, in `batches`; 0 if it looks at weights alone
    text: str  # which channels are kept
    source: str


# ASSUME: 500 images for HRank and ThiNet, HRank's figure (g of eq. 4); its authors find that more make no difference.
CRITERIA = {
    "l1": Criterion("sacp.baselines.weights:l1", 0, "of the largest L1 norm", "Li et al. 2016"),
    "random": Criterion("sacp.baselines.weights:random", 0, "drawn at random", ""),
    "fpgm": Criterion("sacp.baselines.fpgm:orders", 0, "far from the geometric median", "He et al. 2019, section 3.3"),
    "hrank": Criterion(
        "sacp.baselines.hrank:orders", 500, "whose feature maps have a high rank", "Lin et al. 2020, section 3.2"
    ),
    "thinet": Criterion(
        "sacp.baselines.thinet:orders", 500, "that the next layer misses most", "Luo et al. 2017, section 3.2"
    ),
    "sensitivity": Criterion(
        "sacp.baselines.sensitivity:orders", 500, "on which the logits depend most, by gradients without labels",
        "of our own; with labels, Theis et al. 2018",
    ),
}  # fmt: skip
DEFAULT = "l1"


def criterion(name: str) -> Criterion:
    """The criterion of a name, or of an import path; `InputError` if there is none."""
    return entry(name, CRITERIA, "criterion", lambda path: Criterion(path, IMAGES, f"by `{path}`", ""))
