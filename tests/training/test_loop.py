import copy
from dataclasses import replace

import pytest
import torch
from sacp.compute.arithmetic import Engine, arithmetic
from sacp.compute.optimizers import SGD
from sacp.compute.parallel import Team
from sacp.errors import InputError
from sacp.images.batches import cut
from sacp.images.splits import ImageSet, Splits
from sacp.seeds import derive
from sacp.training.evaluation import accuracy_percent
from sacp.training.loop import HISTORY_COLUMNS, batches_of, train
from sacp.training.recipe import Recipe, cosine, learning_rate
from torch import Tensor, nn
from trainings import RECIPE, digits, fresh, same_weights, timeless


@pytest.mark.parametrize(("step", "share"), [(0, 1), (25, 0.8535534), (50, 0.5), (75, 0.1464466), (100, 0)])
def test_learning_rate_is_half_a_cosine_from_lr_to_zero(step, share):
    assert cosine(0.2, step, 100) == pytest.approx(0.2 * share, abs=1e-8)


def test_learning_rate_of_every_step_is_used(monkeypatch):
    used, step = [], SGD.step
    monkeypatch.setattr(SGD, "step", lambda self: used.append(self.param_groups[0]["lr"]) or step(self))
    history = train(fresh(), digits(), RECIPE, 0, "run")
    assert used == [cosine(0.05, number, 8) for number in range(8)]  # 2 epochs of 64 / 16 steps
    assert [row["lr"] for row in history] == [used[0], used[4]]


def test_a_small_network_learns_64_digits_by_heart():
    network = fresh()
    history = train(network, digits(), replace(RECIPE, epochs=15), 0, "run")
    assert accuracy_percent(network, digits().train, digits()) == 100
    assert history[-1]["train_loss"] < 0.1 * history[0]["train_loss"]
    assert history[-1]["train_accuracy_percent"] > 95
    assert [row["epoch"] for row in history] == list(range(1, 16))
    assert tuple(history[0]) == HISTORY_COLUMNS


def test_warm_up_rises_in_a_line_to_lr_and_the_cosine_takes_the_rest():
    recipe = replace(RECIPE, epochs=4, warmup_epochs=1, lr=0.4)
    rates = [learning_rate(recipe, step, 4) for step in range(16)]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rates[4:] == [cosine(0.4, step, 12) for step in range(12)]


def reference(network: nn.Module, recipe: Recipe, seed: int) -> list[dict[str, Tensor]]:
    """The loop as everybody writes it; the weights after each step."""
    batches, states, number = batches_of(digits(), recipe, torch.device("cpu")), [], 0
    optimizer = torch.optim.SGD(network.parameters(), 0.1, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov)
    loss_function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    network.train()
    for epoch in range(recipe.epochs):
        for batch in batches.epoch(seed, epoch):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, number, len(batches))
            optimizer.zero_grad()
            loss_function(network(batch.images), batch.labels).backward()
            optimizer.step()
            number += 1
            states.append({name: value.clone() for name, value in network.state_dict().items()})
    return states


@pytest.mark.parametrize("changes", [{}, {"nesterov": False, "label_smoothing": 0.2, "warmup_epochs": 0.5}])
def test_steps_are_those_of_the_plain_loop(changes):
    recipe, network = replace(RECIPE, **changes), fresh()
    train(network, digits(), recipe, 3, "run")
    expected = reference(fresh(), recipe, 3)[-1]
    for name, value in network.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-5), name


def test_the_average_of_weights_is_what_its_formula_says():
    recipe, network = replace(RECIPE, ema_decay=0.8), fresh()
    train(network, digits(), recipe, 3, "run")
    average = {name: value.clone() for name, value in fresh().state_dict().items()}
    for state in reference(fresh(), recipe, 3):
        for name, value in state.items():
            average[name] = 0.8 * average[name] + 0.2 * value if value.is_floating_point() else value
    for name, value in network.state_dict().items():
        assert torch.allclose(value.float(), average[name].float(), atol=1e-5), name


def test_validation_is_in_the_history_when_it_is_asked_for():
    network = fresh()
    history = train(network, digits(), replace(RECIPE, epochs=5, validate_every=2), 0, "run")
    found = [row["validation_accuracy_percent"] for row in history]
    assert [value is None for value in found] == [True, False, True, False, False]
    assert found[-1] == accuracy_percent(network, digits().validation, digits())
    unasked = fresh()
    train(unasked, digits(), replace(RECIPE, epochs=5), 0, "run")
    assert same_weights(unasked, network)


@pytest.mark.parametrize(
    ("images", "batch_size", "size", "expected"),
    [
        (10, 4, 1, [4, 4, 2]), (9, 4, 1, [4, 4]), (8, 4, 1, [4, 4]), (10, 4, 2, [4, 4]), (12, 4, 2, [4, 4, 4]), 
        (3, 4, 1, [3]), (11, 4, 2, [4, 4]),
    ],
)  # fmt: skip
def test_a_last_step_too_small_for_batch_norm_is_left_out(images, batch_size, size, expected):
    steps = cut(images, batch_size, Team(0, size))
    assert [step.stop - step.start for step in steps] == expected


@pytest.mark.parametrize("engine", [Engine("float32", False), Engine("bfloat16", True), Engine("tf32", True)])
def test_arithmetic_is_as_it_was_after_the_training(engine):
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv

    def settings():
        return matmul.fp32_precision, conv.fp32_precision, torch.are_deterministic_algorithms_enabled()

    before = settings()
    with arithmetic(engine, torch.device("cpu")):
        expected = "tf32" if engine.precision == "tf32" else "ieee"
        assert settings() == (expected, expected, engine.deterministic)
    assert settings() == before


def test_bfloat16_learns_and_leaves_the_weights_in_float32():
    network = fresh()
    history = train(network, digits(), replace(RECIPE, epochs=10), 0, "run", Engine("bfloat16"))
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert history[-1]["train_accuracy_percent"] > 80
    exact = train(fresh(), digits(), replace(RECIPE, epochs=1), 0, "run")
    assert history[0]["train_loss"] == pytest.approx(exact[0]["train_loss"], rel=0.05)


@pytest.mark.parametrize("changes", [{}, {"crop_padding": 1, "flip": True}])
def test_weights_are_a_function_of_the_seed(changes):
    networks = [fresh() for _ in range(3)]
    recipe = replace(RECIPE, **changes)
    histories = []
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        torch.manual_seed(len(histories))  # the global generator has no say
        histories.append(train(network, digits(), recipe, seed, "run"))
    assert same_weights(networks[0], networks[1])
    assert timeless(histories[0]) == timeless(histories[1])
    assert not same_weights(networks[0], networks[2])


def test_dropout_is_a_function_of_the_seed_and_the_global_generator_is_left_alone():
    head = nn.Linear(64, 10)
    networks = [nn.Sequential(nn.Flatten(), nn.Dropout(0.5), copy.deepcopy(head)) for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        torch.manual_seed(seed + 40)
        before = torch.get_rng_state()
        train(network, digits(), RECIPE, seed, "run")
        assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(networks[0], networks[1])
    assert not same_weights(networks[0], networks[2])


def test_zero_epochs_leave_the_weights():
    network = fresh()
    assert train(network, digits(), replace(RECIPE, epochs=0), 0, "run") == []
    assert same_weights(network, fresh())


def test_a_loss_that_is_not_finite_names_the_run_and_the_learning_rate():
    with pytest.raises(InputError, match=r"base: the loss is nan in epoch 1; lower lr 1e\+20"):
        train(fresh(), digits(), replace(RECIPE, lr=1e20), 0, "base")


class Oracle(nn.Module):
    """Answers with the first pixel's grey level, and wrongly while it is in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        if (images[:, 0, 0, 0] > 200).any():
            raise ValueError("too bright")
        answers = images[:, 0, 0, 0].round().long() + int(self.training)
        return nn.functional.one_hot(answers % 10, 10).float() + self.weight


def told(pixels: list[int], labels: list[int]) -> tuple[ImageSet, Splits]:
    images = torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1)
    part = ImageSet(images, torch.tensor(labels))
    return part, Splits(part, part, part, torch.zeros(1), torch.full((1,), 1 / 255), "digest")


@pytest.mark.parametrize("mode", [True, False])
def test_accuracy_equals_a_count_by_hand_and_the_mode_is_restored(mode):
    network = Oracle().train(mode)
    # Three images of which two are right, then over a thousand of which every tenth is.
    assert accuracy_percent(network, *told([3, 4, 5], [3, 4, 6])) == pytest.approx(200 / 3)
    assert accuracy_percent(network, *told(list(range(10)) * 250, [0] * 2500)) == 10
    assert network.training is mode


@pytest.mark.parametrize("mode", [True, False])
def test_mode_is_restored_after_a_failure(mode):
    network = Oracle().train(mode)
    with pytest.raises(ValueError, match="too bright"):
        accuracy_percent(network, *told([255], [0]))
    assert network.training is mode


def test_accuracy_leaves_weights_and_statistics_alone():
    network = fresh()
    accuracy_percent(network, digits().test, digits())
    assert same_weights(network, fresh())


def test_derived_seeds_are_the_same_everywhere_and_differ_by_part():
    assert derive(0, "epoch", 1) == 123735704575244949
    seeds = {derive(seed, stream, number) for seed in range(10) for stream in ("a", "b") for number in range(10)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
