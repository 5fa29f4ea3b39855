"""What a baseline and a criterion return is looked at before it is used: both may be a user's."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks_zoo import any_network
from sacp.baselines.match_flops import TOLERANCE
from sacp.baselines.task import Task, checked
from sacp.errors import InputError
from sacp.images.splits import ImageSet, Splits
from sacp.network.cost import costs_of_counts
from sacp.pruning.criteria import l1_order
from sacp.pruning.space import Space
from users_code import importable

CHANNELS = [6, 5]  # of the groups of `flat`
FIRST, SECOND = [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4]  # orders of them
SCORES = "which look like scores rather than an order"


def task_of(counts: list[int], **more: Any) -> Task:
    """Keep as many FLOPs of a small network as these channels of its two groups take."""
    network, graph, _ = any_network("flat")
    assert graph.channels == CHANNELS
    target = int(costs_of_counts(graph, np.array([counts]))[0][0])
    return Task(network.eval(), graph, target, 7, Space.of(graph, 10, 0), **more)


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
    assert [len(batch) for batch in batches] == [65, 65]  # of equal size, at most BATCH
    seen = torch.cat(batches)[:, 0, 0, 0].round().int().tolist()
    assert len(set(seen)) == 130
    assert seen != sorted(seen)  # drawn at random
    assert task.images(0) == []


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ([FIRST], "1 lists for 2 groups"),
        ([FIRST, SECOND, [0]], "3 lists for 2 groups"),
        ([[0, 1, 2, 3, 4], SECOND], "5 values for the 6 channels of group 'conv1'"),
        ([FIRST, []], "0 values for the 5 channels of group 'conv2'"),
        ([5, 4], "1 values for the 6 channels of group 'conv1'"),
        ([[0, 1, 2, 3, 4, 4], SECOND], "channel 4 2 times for the 6 channels of group 'conv1'"),
        ([FIRST, [0, 0, 0, 1, 2]], "channel 0 3 times for the 5 channels of group 'conv2'"),
        ([[1, 2, 3, 4, 5, 6], SECOND], "channel 6 for the 6 channels of group 'conv1'"),
        ([FIRST, [-1, 0, 1, 2, 3]], "channel -1 for the 5 channels of group 'conv2'"),
        ([FIRST, np.ones(5)], f"values of the type float64, {SCORES}, for the 5 channels of group 'conv2'"),
        ([torch.rand(6), SECOND], f"values of the type float32, {SCORES}, for the 6 channels of group 'conv1'"),
        ([[True] * 6, SECOND], "values of the type bool, no channel numbers for the 6 channels of group 'conv1'"),
        ([[[0, 1, 2], [3, 4, 5]], SECOND], "an array of shape [2, 3] for the 6 channels of group 'conv1'"),
        ([["a", "b"], SECOND], "2 values for the 6 channels"),
        ([[*"abcdef"], SECOND], "values of the type str32, no channel numbers for the 6 channels"),
        ([[None, *"bcdef"], SECOND], "values of the type object, no channel numbers for the 6 channels"),
        ([[0, [1, 2]], SECOND], "no list of arrays (ValueError: "),
        ([torch.arange(6.0, requires_grad=True), SECOND], "no list of arrays (RuntimeError: "),
        (None, "no list of arrays (TypeError: 'NoneType' object is not iterable)"),
        ((sys.exit(0) for _ in FIRST), "no list of arrays (SystemExit: 0)"),
        (map(float, "ab"), "no list of arrays (ValueError: could not convert string to float: 'a')"),
    ],
)
def test_a_criterion_that_does_not_order_the_channels_is_refused_by_its_name(monkeypatch, found, fault: str) -> None:
    task = task_of([3, 2], criterion=by(monkeypatch, lambda *_: found))
    with pytest.raises(InputError) as caught:
        _ = task.order
    text = str(caught.value)
    assert text.startswith(f"criterion 'users_module:function': found {fault}")
    assert text.endswith("; expected each channel of each group once: [6, 5]")
    assert "\n" not in text


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
    ("kept", "fault"),
    [
        ([[0, 1, 2]], "1 lists for 2 groups"),
        ([[0, 1, 2], [0, 1], [0]], "3 lists for 2 groups"),
        ([[0, 1, 6], [0, 1]], "channel 6 for the 6 channels of group 'conv1'"),
        ([[0, 1, 2], [-1, 0]], "channel -1 for the 5 channels of group 'conv2'"),
        ([[0, 1, 2], []], "an array of shape [0] for the 5 channels of group 'conv2'"),
        ([[[0, 1], [2, 3]], [0, 1]], "an array of shape [2, 2] for the 6 channels of group 'conv1'"),
        ([[0.5, 1, 2], [0, 1]], "values of the type float64, no channel numbers for the 6 channels of group 'conv1'"),
        (
            [[0, 1, 2], [True, True, False, False, False]],
            "values of the type bool, no channel numbers for the 5 channels",
        ),
        ([["a", "b", "c"], [0, 1]], "values of the type str32, no channel numbers for the 6 channels of group 'conv1'"),
        ([[0, [1, 2]], [0, 1]], "no list of arrays (ValueError: "),
        (None, "no list of arrays (TypeError: "),
    ],
)
def test_kept_channels_that_the_network_does_not_have_are_refused_by_the_functions_name(kept, fault: str) -> None:
    with pytest.raises(InputError) as caught:
        checked(kept, task_of([3, 2]), "mine:select")
    text = str(caught.value)
    assert text.startswith(f"'mine:select': found {fault}")
    assert text.endswith("; expected the kept channel numbers of each group, at least one of [6, 5]")
    assert "\n" not in text


def test_kept_channels_that_miss_the_flops_by_more_than_two_percent_are_refused() -> None:
    task = task_of([3, 2])
    flops = int(costs_of_counts(task.graph, np.array([[3, 3]]))[0][0])
    with pytest.raises(InputError) as caught:
        checked([[0, 1, 2], [0, 1, 2]], task, "mine:select")
    assert str(caught.value) == (
        f"'mine:select': its kept channels take {flops} FLOPs, {flops / task.target_flops - 1:.1%} off; expected "
        f"channels within 2% of {task.target_flops} FLOPs (task.target_flops)"
    )
    kept, exact = [[0, 1, 2], [0, 1]], task.target_flops
    for factor, is_fine in ((1 / (1 + 0.9 * TOLERANCE), True), (1 / (1 + 1.1 * TOLERANCE), False)):
        near = Task(task.base, task.graph, round(factor * exact), 7, task.space)
        if is_fine:
            assert [channels.tolist() for channels in checked(kept, near, "mine:select")] == kept
        else:
            with pytest.raises(InputError, match=r", 2\.[012]% off; expected"):
                checked(kept, near, "mine:select")
