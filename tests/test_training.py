import copy
from dataclasses import replace
from functools import cache

import pytest
import torch
from sacp import data, training
from sacp.data import ImageSet, Splits, channel_statistics
from sacp.errors import InputError
from sacp.networks import NetworkSpec, build
from sacp.seeds import derive
from sacp.training import Recipe, accuracy_percent, cosine, train
from torch import Tensor, nn

RECIPE = Recipe(
    epochs=2, lr=0.05, batch_size=16, momentum=0.9, weight_decay=5e-4, nesterov=True, crop_padding=0, flip=False
)


@cache
def digits(number: int = 64) -> Splits:
    """The first digits as training part, the next ones as validation and test part."""
    full, test = data.read("digits", None)
    parts = (slice(number), slice(number, 2 * number))
    first, second = (ImageSet(full.images[part], full.labels[part]) for part in parts)
    return Splits(first, second, test, *channel_statistics(first.images), "digest")


def fresh(seed: int = 0) -> nn.Module:
    """A small network, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(NetworkSpec("resnet8", 0.5, 1, 8, 10))


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(name == other and torch.equal(x, y) for (name, x), (other, y) in pairs)


def timeless(history: training.History) -> training.History:
    """A history without its clock times."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


@pytest.mark.parametrize(("step", "share"), [(0, 1), (25, 0.8535534), (50, 0.5), (75, 0.1464466), (100, 0)])
def test_learning_rate_is_half_a_cosine_from_lr_to_zero(step, share):
    assert cosine(0.2, step, 100) == pytest.approx(0.2 * share, abs=1e-8)


def test_learning_rate_of_every_step_is_used(monkeypatch):
    used, step = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: used.append(self.param_groups[0]["lr"]) or step(self))
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
    assert tuple(history[0]) == training.HISTORY_COLUMNS


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
