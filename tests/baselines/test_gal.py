"""GAL: its steps by hand, a copy that stays the base where nothing drives it away, and the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_tasks import ends_alike, flops_of, task
from sacp.baselines import gal
from sacp.baselines.inner import inner_groups
from sacp.baselines.learning import settled
from sacp.errors import InputError
from sacp.network.constraints import Constraints
from sacp.network.surgery import prune
from sacp.training.stepwise import finish
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from trainings import RECIPE

OPTIONS = {"lr": 0.01, "sparsity": 0.6, "likeness": 1, "every": 2}


def test_a_step_of_the_masks_by_hand():
    masks = torch.tensor([1, 0.01, -0.5, 0.005], dtype=torch.float64)
    gradient = torch.tensor([0.3, 0.6, -0.6, 0.6], dtype=torch.float64)
    # The gradient leads to .997, .004, -.494, -.001; each is .006 nearer to zero then.
    found = gal.moved(masks, masks, 0, gradient, 0.01, 0.6)
    assert found.tolist() == pytest.approx([0.991, 0, -0.488, 0])
    assert found.clamp(min=0).tolist() == pytest.approx([0.991, 0, 0, 0])
    again = gal.moved(masks, masks - 0.1, 0.5, torch.zeros(4, dtype=torch.float64), 0.01, 0)
    assert again.tolist() == pytest.approx((masks + 0.05).tolist())


def test_the_momentum_of_the_masks_by_hand():
    alphas, shares = [1.0], []
    for _ in range(2):
        alpha, share = gal.momentum_of(alphas[-1])
        alphas.append(alpha)
        shares.append(share)
    assert alphas == pytest.approx([1, 1.618, 2.194], abs=1e-3)
    assert shares == pytest.approx([0, 0.618 / 2.194], abs=1e-3)


def test_a_judge_takes_equal_logits_for_the_same_and_learns_by_two_sigmoids():
    torch.manual_seed(0)
    judge = gal.Judge(10)
    logits = torch.randn(6, 10)
    assert torch.equal(judge(logits), judge(logits.clone()))
    assert [tuple(layer.weight.shape) for layer in judge.layers] == [(128, 10), (256, 128), (128, 256), (1, 128)]
    answer = judge(logits)
    expected = nn.functional.binary_cross_entropy(answer.sigmoid(), torch.ones(6, 1))
    assert binary_cross_entropy_with_logits(answer, torch.ones(6, 1)).item() == pytest.approx(expected.item())
    assert ((answer > 0.4) & (answer < 0.6)).all()


def test_a_copy_without_masks_and_judge_stays_the_base(monkeypatch):
    # Without weight decay, and in evaluation mode as the base is, nothing drives it away.
    recipe = replace(RECIPE, weight_decay=0, momentum=0, nesterov=False)
    training = gal.Training(task(OPTIONS | {"sparsity": 0}, recipe=recipe))
    training.masks = torch.ones_like(training.masks).requires_grad_()
    monkeypatch.setattr(gal, "_told", lambda answer, truth: 0 * answer.sum())
    training.network.eval()
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    batch = next(iter(training.source.epoch(0, 0)))
    training._take_step(batch, training.task.engine)
    assert training.sums[0].item() == pytest.approx(0, abs=1e-6)
    assert all(torch.allclose(value, before[name]) for name, value in training.network.state_dict().items())


def test_masks_fall_one_after_the_other_and_may_rise_again():
    training = gal.Training(task(OPTIONS))
    training.optimizer.param_groups[0]["lr"] = 0.1
    start = torch.zeros_like(training.masks)
    start[:3] = torch.tensor([0.01, 0.1, 1.0])
    training.masks = start.requires_grad_()
    training.fallen = torch.full_like(training.fallen, 0.5)
    for gradient in (0.0, 0.6, -5.0):
        training.masks.grad = torch.full_like(training.masks, gradient)
        training._move_masks()
    # Shrunk by .06: the first falls at once. Then by .12: the second falls, in the second step. Then all rise.
    assert [int(each) for each in training.fallen[:4]] == [1, 2, 0, 0]
    assert (training.masks > 0).all()
    assert training.moves == 3


@pytest.mark.parametrize("own", [True, False])
def test_channels_are_kept_at_the_target_and_the_masked_copy_is_what_is_pruned(own):
    given = task(OPTIONS, 0.7, own_weights=own)
    before = {name: value.clone() for name, value in given.base.state_dict().items()}
    learned = gal.select(given)
    kept, free = settled(learned, given, "gal"), inner_groups(given.graph)
    counts = np.array([len(channels) for channels in kept])
    assert not learned.nearest
    assert (counts[~free] == np.array(given.graph.channels)[~free]).all()
    assert abs(flops_of(given.graph, counts) / given.target_flops - 1) <= 0.02
    assert all(torch.equal(value, before[name]) for name, value in given.base.state_dict().items())
    assert len(learned.history) == 3
    if not own:
        assert learned.network is None
        # What is judged is the copy with its masks: what its training has ended in.
        training = gal.Training(task(OPTIONS, 0.7))
        finish(training, given.engine)
        training.fold([np.arange(channels) for channels in given.graph.channels])
        assert learned.judged == [given.evaluated(training.network)]
        return
    network, images = learned.network.eval(), torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(prune(network, given.graph, kept).eval()(images), network(images), atol=1e-5)


def test_masks_in_the_weights_compute_what_masks_beside_them_do():
    training = gal.Training(task(OPTIONS))
    whole, images = [np.arange(channels) for channels in training.task.graph.channels], torch.randn(4, 1, 8, 8)
    training.network.eval()
    with torch.no_grad():
        expected = training.gates(images, training._gates())
        plain = training.network(images)
        training.fold(whole)
        assert torch.allclose(training.network(images), expected, atol=1e-6)
        assert not torch.allclose(plain, expected, atol=1e-3)


def test_what_falls_first_goes_first():
    training = gal.Training(task(OPTIONS, 0.7))
    training.masks = torch.zeros_like(training.masks).requires_grad_()
    order = torch.randperm(len(training.masks), generator=torch.Generator().manual_seed(0))
    training.fallen, training.moves = order.float() + 0.5, len(order)
    kept, graph = training.kept(), training.task.graph
    first = 0
    for channels, is_free, width in zip(kept, training.free, graph.channels, strict=True):
        if is_free:
            own = order[first : first + width].numpy()
            assert set(channels) == set(np.argsort(-own)[: len(channels)])
            first += width


def test_a_target_beyond_its_space_is_missed_as_little_as_can_be(caplog):
    given = task(OPTIONS, 0.1)
    learned = gal.select(given)
    kept, free = settled(learned, given, "gal"), inner_groups(given.graph)
    assert learned.nearest
    assert [len(channels) == 1 for channels in kept] == free.tolist()
    assert "the nearest that the channels it can remove allow" in caplog.text


def test_masks_that_would_never_move_are_refused():
    with pytest.raises(InputError, match=r"gal\.every: found 200 steps, expected no more than the 12 of the training"):
        gal.select(task(OPTIONS | {"every": 200}))


def test_constraints_hold():
    given = task(OPTIONS, 0.8, Constraints(("stages.0.0.conv1",), 2, 0.4))
    for channels, whole in zip(settled(gal.select(given), given, "gal"), given.graph.channels, strict=True):
        assert len(channels) == whole or (len(channels) % 2 == 0 and len(channels) >= 0.4 * whole)


@pytest.mark.parametrize("number", [0, 1, 2, 5, 8, 11])
def test_stopped_at_any_step_it_ends_in_the_same_bits(tmp_path, monkeypatch, number):
    ends_alike(gal.select, OPTIONS, number, tmp_path / "state.pt", monkeypatch, share=0.7)
