"""The evolution of MetaPruning: the ten best of all that were seen have children by mutation and by crossover."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sacp.compute.resume import Sidecar, stop_requests
from sacp.errors import InputError
from sacp.progress import Progress
from sacp.seeds import derive

POPULATION, PARENTS, MUTANTS, CHILDREN = 50, 10, 25, 25  # of a generation; the rest of it is drawn at random
MUTATED = 0.1  # chance of each gene of a mutant
TRIES = 250  # of mutants, of children and of those at random in a generation; what is not new or does not fit counts
Genes = NDArray[np.int64]  # a level of each group, [G]
PART = "evolution"  # of a saved state


def mutated(genes: Genes, levels: int, rng: np.random.Generator) -> Genes:
    """A copy in which each gene is another one with the chance `MUTATED`, [G]."""
    shifts = rng.integers(1, levels, len(genes)) * (rng.random(len(genes)) < MUTATED)
    return (genes + shifts) % levels


def crossed(one: Genes, other: Genes, rng: np.random.Generator) -> Genes:
    """Each gene of either parent, [G]."""
    return np.where(rng.random(len(one)) < 0.5, one, other)


class Space(Protocol):
    """Which genes there are."""

    def drawn(self, rng: np.random.Generator) -> Genes:
        """Genes at random, most of which fit."""
        ...

    def fits(self, genes: Genes) -> bool:
        """Whether genes may be evaluated."""
        ...


class Evolution:
    """What has been seen: a function of the seed, whether or not it was stopped on the way."""

    def __init__(self, levels: int, space: Space, seed: int) -> None:
        """Take the number of levels of a gene, where genes come from, and the seed of all that is drawn."""
        self.levels, self.space, self.seed = levels, space, seed
        self.seen: dict[tuple[int, ...], float] = {}  # fitness by genes, in the order of their evaluation
        self.generation, self.waiting = 0, list[tuple[int, ...]]()

    def run(self, fitness: Callable[[Genes], float], generations: int, sidecar: Sidecar) -> tuple[Genes, float]:
        """The fittest of so many generations, and its fitness; the first of equal ones.

        Args:
            fitness: of genes; more is better. Asked once for each.
            generations: their number, the first at random.
            sidecar: where the state is kept, after any evaluation.

        Raises:
            InputError: none was found that fits.
            Stopped: a signal asked for an end; the state was saved.
        """
        if PART in sidecar.state:
            self.restore(sidecar.state[PART])
        progress = Progress("evaluated networks", generations * POPULATION - len(self.seen))
        with stop_requests() as stop:
            while self.waiting or self.generation < generations:
                if not self.waiting:
                    self.waiting, self.generation = self._next(), self.generation + 1
                    continue  # there may be no network that is new
                genes, *self.waiting = self.waiting
                self.seen[genes] = fitness(np.array(genes, np.int64))
                progress.advance(1)
                sidecar.pause(stop, PART, self.state)
        if not self.seen:
            raise InputError(
                "metapruning: no widths within 2 % of the FLOPs to match were found; expected a wider network"
            )
        best = max(self.seen, key=self.seen.__getitem__)
        return np.array(best, np.int64), self.seen[best]

    def _next(self) -> list[tuple[int, ...]]:
        """The genes of the next generation, all of them new."""
        rng = np.random.default_rng(derive(self.seed, "generation", self.generation))
        parents = [np.array(genes) for genes in sorted(self.seen, key=lambda genes: -self.seen[genes])[:PARENTS]]
        found: dict[tuple[int, ...], None] = {}

        def add(make: Callable[[], Genes], number: int) -> None:
            wanted = len(found) + number
            for _ in range(TRIES):
                if len(found) >= wanted:
                    return
                genes = make()
                if self.space.fits(genes) and (key := tuple(genes.tolist())) not in self.seen:
                    found[key] = None

        if parents:
            add(lambda: mutated(parents[rng.integers(len(parents))], self.levels, rng), MUTANTS)
            add(
                lambda: crossed(parents[rng.integers(len(parents))], parents[rng.integers(len(parents))], rng), CHILDREN
            )
        add(lambda: self.space.drawn(rng), POPULATION - len(found))
        return list(found)

    def state(self) -> dict[str, Any]:
        """What has to be saved: plain values."""
        return {"seen": list(self.seen.items()), "generation": self.generation, "waiting": self.waiting}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.seen = {tuple(genes): value for genes, value in state["seen"]}
        self.generation = state["generation"]
        self.waiting = [tuple(genes) for genes in state["waiting"]]
