import numpy as np
import pytest
from networks_zoo import PAPER_NETWORKS, built
from sacp.baselines import random_ratios, uniform
from sacp.baselines.random_ratios import random_steps
from sacp.baselines.task import Task, checked
from sacp.errors import InputError
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.pruning.criteria import kept_of, l1_order
from sacp.pruning.space import Space, kept_counts, pruning_ratio

THRESHOLDS = {"vgg16": 0.6, "resnet18": 0.7, "resnet56": 0.3}


def gap(graph, counts, target: int) -> float:
    return abs(int(costs_of_counts(graph, np.array([counts]))[0][0]) - target) / target


@pytest.mark.parametrize("share", [1.0, 0.9, 0.6, 0.35, 0.1, 0.03])
@pytest.mark.parametrize(("name", "width"), [*((name, 1.0) for name in PAPER_NETWORKS), ("resnet20", 0.5)])
def test_uniform_counts_match_the_flops_within_one_percent(name, width, share):
    _, graph = built(name, width)
    target = round(share * cost_of_graph(graph).flops)
    counts = uniform.counts(graph, target)
    assert gap(graph, counts, target) <= 0.01
    assert (counts >= 1).all()
    assert (counts <= graph.channels).all()


@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_uniform_counts_keep_the_same_share_of_every_group(name, share):
    _, graph = built(name)
    counts = uniform.counts(graph, round(share * cost_of_graph(graph).flops))
    # Whole channels: flooring and single moves shift a group by at most two channels.
    channels = np.array(graph.channels)
    assert (np.abs(counts - channels * (counts / channels).mean()) <= 2 + channels * 0.02).all()


@pytest.mark.parametrize("share", [0.001, 1.1])
def test_uniform_counts_refuse_what_no_network_reaches(share):
    _, graph = built("vgg11", 1 / 32)
    target = round(share * cost_of_graph(graph).flops)
    with pytest.raises(InputError, match=f"no uniform ratio within 2% of {target} FLOPs; the nearest is"):
        uniform.counts(graph, target)


def test_uniform_counts_refuse_more_than_the_whole_network():
    _, graph = built("resnet20", 0.25)
    with pytest.raises(InputError, match=r"the nearest is 50\.0% off"):
        uniform.counts(graph, 2 * cost_of_graph(graph).flops)


@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_random_steps_match_the_flops_inside_the_space(name):
    _, graph = built(name)
    space = Space.of(graph, 10, THRESHOLDS[name])
    winner = space.draw(1, 0)[0]
    target = int(costs_of_counts(graph, kept_counts(winner[None], graph, 10))[0][0])
    steps = random_steps(graph, space, target, 1)
    assert steps.shape == (len(graph.groups),)
    assert gap(graph, kept_counts(steps, graph, 10), target) <= 0.01
    assert pruning_ratio(steps, graph.weights, 10) >= THRESHOLDS[name]
    again, other = (random_steps(graph, space, target, seed) for seed in (1, 2))
    assert np.array_equal(steps, again)
    assert not np.array_equal(steps, other)


@pytest.mark.parametrize(("band", "found"), [(0.01, 0.01), (-1.0, 0.02)], ids=["in the band", "none in it"])
def test_random_steps_are_uniform_over_the_configurations_that_match(monkeypatch, band, found):
    monkeypatch.setattr(random_ratios, "BAND", band)
    _, graph = built("resnet8", 0.25)
    space = Space.of(graph, 2, 0.0)
    every = space.unrank(np.arange(space.count))
    flops = costs_of_counts(graph, kept_counts(every, graph, 2))[0]
    target = int(np.median(flops))
    matching = {tuple(row) for row in every[np.abs(flops / target - 1) <= found].tolist()}
    monkeypatch.setattr(random_ratios, "DRAWS", 500)
    drawn = [tuple(random_steps(graph, space, target, s).tolist()) for s in range(100 * len(matching))]
    assert len(matching) > 1
    assert set(drawn) == matching
    assert all(60 < drawn.count(row) < 140 for row in matching)


def test_random_steps_give_up_with_the_nearest_gap(monkeypatch):
    monkeypatch.setattr(random_ratios, "MOST_DRAWS", 2 * random_ratios.DRAWS)
    _, graph = built("resnet8", 0.25)
    target = 2 * cost_of_graph(graph).flops
    with pytest.raises(
        InputError, match=rf"no random configuration among 200000 within 2% of {target} FLOPs.*5\d\.\d%"
    ):
        random_steps(graph, Space.of(graph, 10, 0.0), target, 0)


@pytest.mark.parametrize("baseline", [uniform, random_ratios])
def test_the_best_channels_by_the_criterion_are_kept(baseline):
    network, graph = built("resnet20", 0.5)
    space = Space.of(graph, 10, 0.3)
    target = int(costs_of_counts(graph, kept_counts(space.draw(1, 0), graph, 10))[0][0])
    task = Task(network, graph, target, 5, space, {"function": "sacp.baselines.weights:l1", "images": 0})
    kept, order = baseline.select(task), l1_order(network, graph)
    if baseline is uniform:
        counts = uniform.counts(graph, target)
        expected = [np.sort(channels[:count]) for channels, count in zip(order, counts, strict=True)]
    else:
        expected = kept_of(random_steps(graph, space, target, 5), order, graph, 10)
    for found, channels in zip(kept, expected, strict=True):
        assert found.tolist() == channels.tolist()
    for found, same in zip(kept, checked(kept, task, "select"), strict=True):
        assert found.tolist() == same.tolist()
