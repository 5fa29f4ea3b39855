"""How large the search of ABCPruner is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colony:
    """Size of the search."""

    food: int  # sources, as many as employed bees and as onlookers
    cycles: int
    limit: int  # trials without a gain after which a source is given up

    @property
    def structures(self) -> int:
        """Structures that are judged; scouts can add some, and those that come twice are judged once."""
        return self.food * (1 + 2 * self.cycles)
