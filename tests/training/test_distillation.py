"""A pruned network that learns from the unpruned one: the loss by hand, its gradients, what the teacher is asked."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sacp.compute.arithmetic import Engine
from sacp.errors import InputError
from sacp.pruning.criteria import kept_of, l1_order
from sacp.tracing.trace import trace
from sacp.training import candidates
from sacp.training.candidates import train_fully, tune_candidates
from sacp.training.evaluation import Calibration
from sacp.training.loop import batches_of, train
from sacp.training.loss import divergence, loss_sum
from sacp.training.recipe import Recipe, learning_rate
from torch import Tensor, nn
from torch.nn import functional
from trainings import RECIPE, SPEC, digits, fresh, same_weights, timeless

TAUGHT = replace(RECIPE, distill_weight=0.7, distill_temperature=3)
CPU = torch.device("cpu")


def drawn(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of a network and of its teacher, [5, 4], and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits, taught = 3 * torch.randn(2, 5, 4, generator=generator, dtype=dtype)
    return logits.requires_grad_(), taught, torch.randint(4, (5,), generator=generator)


def test_the_loss_of_two_classes_is_that_of_a_hand() -> None:
    # At T = 2: the teacher says 0.8 and 0.2, the network 0.5 and 0.5; at T = 1 the network says 0.5 too.
    logits, taught = torch.zeros(1, 2), torch.tensor([[2 * np.log(4), 0.0]], dtype=torch.float32)
    kl = 0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5)
    recipe = replace(RECIPE, distill_weight=0.25, distill_temperature=2)
    found = loss_sum(logits, torch.tensor([1]), recipe, taught)
    assert found.item() == pytest.approx(0.75 * np.log(2) + 0.25 * 4 * kl, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 4])
def test_the_divergence_is_torchs_cross_entropy_less_the_teachers_entropy(temperature: float) -> None:
    logits, taught, _ = drawn(0)
    wanted = functional.softmax(taught / temperature, dim=1)
    entropy = -(wanted * wanted.log()).sum()
    expected = functional.cross_entropy(logits / temperature, wanted, reduction="sum") - entropy
    assert divergence(logits, taught, temperature).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(("weight", "temperature", "smoothing"), [(0.3, 4, 0), (0.9, 1, 0.1), (1, 2, 0), (0, 2, 0.2)])
def test_gradients_are_those_of_the_formula(weight: float, temperature: float, smoothing: float) -> None:
    logits, taught, labels = drawn(1)
    recipe = replace(RECIPE, distill_weight=weight, distill_temperature=temperature, label_smoothing=smoothing)
    loss_sum(logits, labels, recipe, taught).backward()
    hard = functional.one_hot(labels, 4).double() * (1 - smoothing) + smoothing / 4
    own, wanted = (functional.softmax(each / temperature, dim=1) for each in (logits.detach(), taught))
    expected = (1 - weight) * (logits.detach().softmax(1) - hard) + weight * temperature * (own - wanted)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("temperature", [0.5, 1, 4])
def test_a_network_that_says_what_its_teacher_says_has_nothing_to_learn(temperature: float) -> None:
    logits, _, labels = drawn(2)
    recipe = replace(RECIPE, distill_weight=1, distill_temperature=temperature)
    found = loss_sum(logits, labels, recipe, logits.detach().clone())
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(logits.grad, torch.zeros(5, 4, dtype=torch.float64))


def plain(seed: int = 0) -> nn.Sequential:
    """A network that is the same in training and in evaluation."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def test_a_network_taught_by_itself_alone_stays_as_it_is() -> None:
    network, recipe = plain(), replace(RECIPE, weight_decay=0, distill_weight=1)
    history = train(network, digits(), recipe, 0, "run", teacher=network)  # the teacher is a copy: as it was before
    for one, other in zip(network.parameters(), plain().parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert history[-1]["train_loss"] == pytest.approx(0, abs=1e-6)


def reference(network: nn.Module, teacher: nn.Module, recipe: Recipe, seed: int) -> None:
    """The loop as everybody writes it."""
    batches, number = batches_of(digits(), recipe, CPU), 0
    optimizer = torch.optim.SGD(network.parameters(), 0.1, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov)
    weight, temperature = recipe.distill_weight, recipe.distill_temperature
    network.train()
    teacher.eval()
    for epoch in range(recipe.epochs):
        for batch in batches.epoch(seed, epoch):
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, number, len(batches))
            optimizer.zero_grad()
            logits = network(batch.images)
            with torch.no_grad():
                wanted = functional.softmax(teacher(batch.images) / temperature, dim=1)
            soft = functional.kl_div(functional.log_softmax(logits / temperature, 1), wanted, reduction="batchmean")
            hard = functional.cross_entropy(logits, batch.labels)
            ((1 - weight) * hard + weight * temperature**2 * soft).backward()
            optimizer.step()
            number += 1


def test_steps_are_those_of_the_plain_loop_on_the_same_images() -> None:
    recipe, network, expected = replace(TAUGHT, crop_padding=1, flip=True), fresh(), fresh()
    train(network, digits(), recipe, 3, "run", teacher=fresh(1).train())
    reference(expected, fresh(1), recipe, 3)
    for name, value in network.state_dict().items():
        assert torch.allclose(value, expected.state_dict()[name], atol=1e-5), name


def test_without_a_weight_a_teacher_changes_no_bit() -> None:
    networks = [fresh(), fresh()]
    histories = [train(networks[0], digits(), RECIPE, 0, "run")]
    histories.append(train(networks[1], digits(), RECIPE, 0, "run", teacher=fresh(1)))
    assert same_weights(*networks)
    assert timeless(histories[0]) == timeless(histories[1])


def test_the_teacher_stays_as_it_is() -> None:
    teacher = fresh(1)
    teacher.train()
    next(teacher.children()).eval()
    before, modes = copy.deepcopy(teacher.state_dict()), [module.training for module in teacher.modules()]
    network = fresh()
    train(network, digits(), TAUGHT, 0, "run", teacher=teacher)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert [module.training for module in teacher.modules()] == modes
    assert all(each.requires_grad and each.grad is None for each in teacher.parameters())
    assert not same_weights(network, fresh())


class Noting(nn.Module):
    """Notes how it is called, in a list that its copies share."""

    calls: list[tuple[bool, bool, torch.dtype]] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.body = plain()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        self.calls.append((self.training, logits.requires_grad, logits.dtype))
        return logits


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_teacher_is_asked_once_a_step_in_evaluation_without_gradients_in_the_same_precision(
    precision: str, dtype: torch.dtype
) -> None:
    Noting.calls.clear()
    train(fresh(), digits(), TAUGHT, 0, "run", Engine(precision), teacher=Noting())
    assert Noting.calls == [(False, False, dtype)] * 8  # 2 epochs of 64 / 16 steps


def test_a_recipe_with_a_teacher_that_nobody_gives_is_refused() -> None:
    with pytest.raises(InputError, match=r"^base: distill_weight is 0.7, but there is no teacher; expected 0$"):
        train(fresh(), digits(), TAUGHT, 0, "base")


def test_tuned_and_fully_trained_networks_are_taught_by_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    base, given = fresh(1), list[nn.Module]()
    graph = trace(base, SPEC.input_shape)
    kept, calibration = {4: kept_of(np.full(len(graph.groups), 5, np.uint8), l1_order(base, graph), graph, 10)}, None
    real = candidates.train
    monkeypatch.setattr(candidates, "train", lambda *a, **k: given.append(k.get("teacher", a[-1])) or real(*a, **k))
    calibration = Calibration(digits(), 32, 0)
    tune_candidates(base, graph, kept, digits(), TAUGHT, 0, CPU, calibration)
    train_fully(fresh(), digits(), SPEC.input_shape, TAUGHT, 0, "full", calibration, teacher=base)
    assert given == [base, base]
