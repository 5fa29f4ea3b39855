"""How large the search of ABCPruner is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colony:
    """Size of the search."""

    food: int  # sources, as many as employed bees and as onlookers
    cycles: int
    limit: int  # trials without a gain with which a source is given up, one source a cycle

    @property
    def structures(self) -> int:
        """Structures that are judged; a scout can add one in each cycle, and those that come twice are judged once."""
        return self.food * (1 + 2 * self.cycles)
