"""What a baseline and a criterion return is looked at before it is used: both may be a user's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks_zoo import any_network
from sacp.baselines.match_flops import TOLERANCE
from sacp.baselines.task import BATCH, Task, checked
from sacp.errors import InputError
from sacp.images.splits import ImageSet, Splits
from sacp.network.cost import costs_of_counts
from sacp.pruning.criteria import l1_order
from sacp.pruning.space import Space
from users_code import importable

CHANNELS = [6, 5]  # of the groups of `flat`


def task_of(counts: list[int], **more: Any) -> Task:
    """Keep as many FLOPs of a small network as these channels of its two groups take."""
    network, graph, _ = any_network("flat")
    assert graph.channels == CHANNELS
    target = int(costs_of_counts(graph, np.array([counts]))[0][0])
    return Task(network.eval(), graph, target, 7, Space.build(graph.weights, 10, 0), **more)


def by(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], images: int = 0) -> dict[str, Any]:
    """A criterion of a user's."""
    return {"function": importable(monkeypatch, function), "images": images}


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, lambda row: np.array(row, np.uint8)])
def test_the_order_is_that_of_the_users_criterion(monkeypatch, form) -> None:
    criterion = by(monkeypatch, lambda *_: [form([5, 0, 1, 4, 2, 3]), form([4, 3, 2, 1, 0])])
    order = task_of([3, 2], criterion=criterion).order
    assert [channels.tolist() for channels in order] == [[5, 0, 1, 4, 2, 3], [4, 3, 2, 1, 0]]


def test_a_criterion_is_given_the_network_its_graph_images_and_the_seed_once(monkeypatch) -> None:
    given = []

    def remember(*arguments):
        given.append(arguments)
        return l1_order(*arguments[:2])

    shades = torch.arange(250, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    part = ImageSet(shades, torch.zeros(250, dtype=torch.int64))
    splits = Splits(part, part, part, torch.zeros(3), torch.full((3,), 1 / 255), "")
    task = task_of([3, 2], criterion=by(monkeypatch, remember, 130), splits=splits)
    assert task.order is task.order
    assert len(given) == 1
    network, graph, batches, seed = given[0]
    assert (network, graph, seed) == (task.base, task.graph, 7)
    assert [len(batch) for batch in batches] == [BATCH, 130 - BATCH]
    seen = torch.cat(batches)[:, 0, 0, 0].round().int().tolist()
    assert len(set(seen)) == 130
    assert seen != sorted(seen)  # drawn at random
    assert task.images(0) == []


@pytest.mark.parametrize(
    "found",
    [
        [[0, 1, 2, 3, 4, 5]],
        [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0]],
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]],
        [[0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4]],
        [[0, 1, 2, 3, 4, 5], []],
        [[0.0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4]],
        [[[0, 1, 2], [3, 4, 5]], [0, 1, 2, 3, 4]],
        [["a", "b"], [0, 1, 2, 3, 4]],
        [[0, [1, 2]], [0, 1, 2, 3, 4]],
        [torch.arange(6.0, requires_grad=True), [0, 1, 2, 3, 4]],
        [5, 4],
        None,
    ],
    ids=str,
)
def test_a_criterion_that_does_not_order_the_channels_is_refused_by_its_name(monkeypatch, found) -> None:
    task = task_of([3, 2], criterion=by(monkeypatch, lambda *_: found))
    with pytest.raises(
        InputError, match=r"'users_module:function'.* each channel of each group once: \[6, 5\]"
    ) as caught:
        _ = task.order
    assert "\n" not in str(caught.value)


def test_a_criterion_that_fails_is_told_with_the_line_that_failed(monkeypatch) -> None:
    task = task_of([3, 2], criterion=by(monkeypatch, lambda *_: 1 // 0))
    with pytest.raises(InputError, match=r"'users_module:function' fails: ZeroDivisionError.*test_task\.py, line \d+"):
        _ = task.order
    with pytest.raises(InputError, match=r"cannot import 'no_such_module:function'"):
        _ = task_of([3, 2], criterion={"function": "no_such_module:function", "images": 0}).order


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, lambda row: np.array(row, np.uint8)])
def test_kept_channels_are_put_in_ascending_order(form) -> None:
    kept = checked([form([5, 0, 3]), form([4, 1])], task_of([3, 2]), "mine:select")
    assert [channels.tolist() for channels in kept] == [[0, 3, 5], [1, 4]]


@pytest.mark.parametrize(
    "kept",
    [
        [[0, 1, 2]],
        [[0, 1, 2], [0, 1], [0]],
        [[0, 1, 6], [0, 1]],
        [[0, 1, 2], [-1, 0]],
        [[0, 1, 2], []],
        [[0.5, 1, 2], [0, 1]],
        [[True, True, True, False, False, False], [True, True, False, False, False]],
        [["a", "b", "c"], [0, 1]],
        [[0, [1, 2]], [0, 1]],
        None,
    ],
    ids=str,
)
def test_kept_channels_that_the_network_does_not_have_are_refused_by_the_functions_name(kept) -> None:
    with pytest.raises(InputError, match=r"'mine:select': expected the kept channel numbers .* of \[6, 5\]") as caught:
        checked(kept, task_of([3, 2]), "mine:select")
    assert "\n" not in str(caught.value)


def test_kept_channels_that_miss_the_flops_by_more_than_two_percent_are_refused() -> None:
    task = task_of([3, 2])
    with pytest.raises(
        InputError, match=rf"no network by 'mine:select' within 2% of {task.target_flops} FLOPs; .* off"
    ):
        checked([[0, 1, 2], [0, 1, 2]], task, "mine:select")
    kept, exact = [[0, 1, 2], [0, 1]], task.target_flops
    for factor, is_fine in ((1 / (1 + 0.9 * TOLERANCE), True), (1 / (1 + 1.1 * TOLERANCE), False)):
        near = Task(task.base, task.graph, round(factor * exact), 7, task.space)
        if is_fine:
            assert [channels.tolist() for channels in checked(kept, near, "mine:select")] == kept
        else:
            with pytest.raises(InputError, match=r"the nearest is 2\.[012]% off"):
                checked(kept, near, "mine:select")
