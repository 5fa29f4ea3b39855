"""MetaPruning: its evolution on a table, and the weights that it makes, by hand."""

import itertools
import signal
from pathlib import Path

import numpy as np
import pytest
from sacp.baselines.metapruning.evolution import Evolution, crossed, mutated
from sacp.compute.resume import Sidecar
from sacp.errors import Stopped


def on_a_table(seed: int) -> Evolution:
    """Three genes of four values; the sum of their squares is at most 14."""

    def fits(genes):
        return genes if (genes**2).sum() <= 14 else None

    def drawn(rng):
        return next(genes for _ in itertools.count() if fits(genes := rng.integers(0, 4, 3)) is not None)

    return Evolution(4, drawn, fits, seed)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_of_a_table_is_found(seed):
    best, value = on_a_table(seed).run(lambda genes: float(genes @ [1, 1.1, 1.2]), 20, Sidecar())
    options = [genes for genes in itertools.product(range(4), repeat=3) if sum(each**2 for each in genes) <= 14]
    assert value == pytest.approx(max(np.array(genes) @ [1, 1.1, 1.2] for genes in options))
    assert sorted(best.tolist()) == [1, 2, 3]  # of sum 6, the most


def test_a_mutated_gene_is_never_the_same():
    rng, genes = np.random.default_rng(0), np.arange(31)
    changed = np.stack([mutated(genes, 31, rng) for _ in range(2000)])
    assert changed.min() == 0
    assert changed.max() == 30
    assert (changed != genes).mean() == pytest.approx(0.1, abs=0.01)  # of all, whatever was drawn


def test_a_child_has_each_gene_of_either_parent():
    rng = np.random.default_rng(0)
    children = np.stack([crossed(np.zeros(5, np.int64), np.ones(5, np.int64), rng) for _ in range(2000)])
    assert set(np.unique(children)) == {0, 1}
    assert children.mean(axis=0) == pytest.approx(0.5, abs=0.05)


def wide(seed: int) -> Evolution:
    return Evolution(31, lambda rng: rng.integers(0, 31, 8), lambda genes: genes, seed)


def test_each_network_is_evaluated_once_and_later_generations_are_fitter():
    asked, evolution = [], wide(0)

    def fitness(genes):
        asked.append(tuple(genes))
        return -float(np.abs(genes - 15).sum())

    best, value = evolution.run(fitness, 10, Sidecar())
    assert len(asked) == len(set(asked)) == 500
    values = np.array(list(evolution.seen.values())).reshape(10, 50)
    assert values[-1, :50].mean() > values[0].mean() + 10
    assert value == values.max() == fitness(best)


def test_an_evolution_that_is_stopped_goes_on_to_the_same_end(tmp_path: Path):
    def fitness(genes):
        return -float(np.abs(genes - 15).sum())

    whole, asked = wide(3), []
    expected = whole.run(fitness, 4, Sidecar())

    def stopping(genes):
        asked.append(tuple(genes))
        if len(asked) in (20, 75, 100):  # in the first generation, in the second, at its end
            signal.raise_signal(signal.SIGTERM)
        return fitness(genes)

    for _ in range(3):
        with pytest.raises(Stopped):
            wide(3).run(stopping, 4, Sidecar(tmp_path / "state.pt", "key"))
    again = wide(3)
    best, value = again.run(stopping, 4, Sidecar(tmp_path / "state.pt", "key"))
    assert list(again.seen.items()) == list(whole.seen.items())
    assert (best.tolist(), value) == (expected[0].tolist(), expected[1])
    assert len(asked) == 200
