"""MetaPruning: its evolution on a table, and the weights that it makes, by hand."""

import itertools
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from learning_tasks import saved, stopped, task
from networks_zoo import built, depthwise, flat, squeeze_excite
from sacp.baselines.learning import settled
from sacp.baselines.metapruning import evolution
from sacp.baselines.metapruning.evolution import Evolution, crossed, mutated
from sacp.baselines.metapruning.generator import PruningNet, counts_of
from sacp.baselines.metapruning.select import Widths, select
from sacp.compute.resume import Sidecar
from sacp.errors import InputError, Stopped
from sacp.network.calibration import calibrate
from sacp.network.constraints import Constraints
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.pruning.space import rounded
from sacp.tracing.trace import count, trace
from sacp.training.evaluation import Calibration
from torch import nn


class Table:
    """Three genes of four values; the sum of their squares is at most 14."""

    def fits(self, genes):
        return bool((genes**2).sum() <= 14)

    def drawn(self, rng):
        return rng.integers(0, 4, 3)


class Everything:
    """Eight genes, all of which fit."""

    def fits(self, genes):
        return True

    def drawn(self, rng):
        return rng.integers(0, 31, 8)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_of_a_table_is_found(seed):
    best, value = Evolution(4, Table(), seed).run(lambda genes: float(genes @ [1, 1.1, 1.2]), 20, Sidecar())
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
    return Evolution(31, Everything(), seed)


def test_each_network_is_evaluated_once_and_later_generations_are_fitter():
    asked, own = [], wide(0)

    def fitness(genes):
        asked.append(tuple(genes))
        return -float(np.abs(genes - 15).sum())

    best, value = own.run(fitness, 10, Sidecar())
    assert len(asked) == len(set(asked)) == 500
    values = np.array(list(own.seen.values())).reshape(10, 50)
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


def test_widths_are_shares_of_31_levels_rounded_as_what_must_be_kept_says():
    _, graph = built("resnet20")
    genes = np.zeros(len(graph.groups), np.int64)
    assert counts_of(genes, graph).tolist() == np.rint(0.1 * np.array(graph.channels)).tolist()
    assert counts_of(genes + 30, graph).tolist() == graph.channels
    assert counts_of(genes + 5, graph)[0] == 4  # .25 of 16
    constrained = trace(built("resnet20")[0], (1, 3, 32, 32), Constraints(("stages.0.1",), 4, 0.3))
    counts = counts_of(np.zeros(len(constrained.groups), np.int64), constrained)
    assert (rounded(counts, constrained) == counts).all()


def test_a_kernel_by_hand():
    """Weights of one, then of 1/32 of 32 units: each number of a kernel is the sum of the shares of its groups."""
    network = nn.Sequential(
        nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 4, 1, bias=False), nn.Flatten(), nn.Linear(4, 3)
    )
    graph = trace(network, (1, 2, 1, 1))
    made = PruningNet(network, graph, 32)
    for maker in made.makers.values():
        first, _, last = maker
        first.weight.data.fill_(1)
        last.weight.data.fill_(1 / 32)
        first.bias.data.zero_()
        last.bias.data.zero_()
    found = made.network(np.array([1, 3])).state_dict()  # shares of .5 and .75
    assert torch.equal(found["0.weight"], torch.full((1, 2, 1, 1), 0.5))
    assert torch.equal(found["1.weight"], torch.full((3, 1, 1, 1), 1.25))
    assert torch.equal(found["3.weight"], made.others["3/weight"][:, :3])


@pytest.mark.parametrize("build", [flat, depthwise, squeeze_excite])
@pytest.mark.parametrize("gene", [0, 12, 30])
def test_the_made_network_is_the_one_that_is_trained_with_those_widths(build, gene):
    torch.manual_seed(0)
    network = build().eval()
    graph, images = trace(network, (1, 3, 8, 8)), torch.randn(5, 3, 8, 8)
    made = PruningNet(network, graph, 4)
    counts = counts_of(np.full(len(graph.groups), gene), graph)
    own = made.network(counts)
    assert count(own, (1, 3, 8, 8)).flops == costs_of_counts(graph, counts[None])[0][0]
    calibrate(own, [images])
    made.eval()
    trained = made(images)  # with running statistics of no images
    assert trained.shape == (5, 10)
    for norm in own.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
    assert torch.allclose(own(images), trained, atol=1e-6)


def test_no_weight_of_the_base_is_used_and_it_stays_as_it_is():
    network, graph = built("resnet20", 0.25)
    counts = np.array(graph.channels)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = []
    for scale in (1.0, 7.0):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(scale)
        torch.manual_seed(0)
        found.append(PruningNet(network, graph, 8).network(counts))
    for one, other in zip(found[0].parameters(), found[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(7 * before[name], value) for name, value in network.named_parameters())


def test_with_all_channels_it_learns_as_an_ordinary_network_does():
    torch.manual_seed(0)
    network, graph = built("resnet8", 0.25, 8)
    made, images, labels = PruningNet(network, graph, 8).train(), torch.randn(20, 3, 8, 8), torch.arange(20) % 4
    optimizer = torch.optim.SGD(made.parameters(), 0.05, 0.9)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(made(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None for parameter in made.parameters())
    assert losses[-1] < 0.7 * losses[0]


def test_random_widths_have_the_flops():
    _, graph = built("resnet20")
    for share in (0.1, 0.5, 0.9):
        widths = Widths(graph, round(share * cost_of_graph(graph).flops))
        rng = np.random.default_rng(0)
        drawn = [widths.drawn(rng) for _ in range(20)]
        assert sum(map(widths.fits, drawn)) >= 15  # others are rejected
        assert len({tuple(genes) for genes in drawn}) == 20


OPTIONS = {"generations": 2, "units": 4}


def test_a_task_is_solved_the_same_way_when_its_training_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, number in (("POPULATION", 5), ("MUTANTS", 2), ("CHILDREN", 2), ("TRIES", 20)):
        monkeypatch.setattr(evolution, name, number)
    own = task(OPTIONS)
    whole = select(own)
    counts = np.array([[len(channels) for channels in settled(whole, own, "metapruning")]])
    assert costs_of_counts(own.graph, counts)[0][0] == pytest.approx(own.target_flops, rel=0.02)
    assert len(whole.history) == 3
    assert 5 < len(whole.judged) <= 10  # of the second generation too
    assert all(row["flops"] == pytest.approx(own.target_flops, rel=0.02) for row in whole.judged)
    stopped(select, task(OPTIONS, sidecar=saved(tmp_path / "state.pt")), 5, monkeypatch)
    again = select(task(OPTIONS, sidecar=saved(tmp_path / "state.pt")))
    assert again.judged == whole.judged
    assert [channels.tolist() for channels in again.kept] == [channels.tolist() for channels in whole.kept]


def test_batch_norms_that_are_not_calibrated_are_refused():
    own = task(OPTIONS)
    with pytest.raises(InputError, match="calibration: found 0 images, but metapruning makes networks"):
        select(task(OPTIONS, calibration=Calibration(own.splits, 0, 0)))
