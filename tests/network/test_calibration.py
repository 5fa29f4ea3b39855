import pytest
import torch
from sacp.errors import InputError
from sacp.network.calibration import calibrate
from torch import nn


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, 1, 4, 4, generator=generator) * scale + scale for scale in (1, 3)]


def test_statistics_of_batch_norms_become_means_over_the_batches():
    network = small()
    weights = network[0].weight.detach().clone()
    calibrate(network, batches())
    maps = [network[0](batch) for batch in batches()]
    means = torch.stack([part.mean(dim=(0, 2, 3)) for part in maps]).mean(dim=0)
    variances = torch.stack([part.var(dim=(0, 2, 3)) for part in maps]).mean(dim=0)
    assert torch.allclose(network[1].running_mean, means, atol=1e-6)
    assert torch.allclose(network[1].running_var, variances, atol=1e-5)
    assert torch.equal(network[0].weight, weights)


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_momenta_stay(training):
    network = small().train(training)
    network[1].momentum, network[2].training = 0.3, True
    calibrate(network, batches())
    assert (network.training, network[1].training, network[2].training) == (training, training, True)
    assert network[1].momentum == 0.3


def test_a_later_batch_norm_sees_what_the_calibrated_ones_before_it_give():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3)).eval()
    calibrate(network, batches()[:1])
    inner = network[1](nn.functional.batch_norm(batches()[0], None, None, network[0].weight, network[0].bias, True))
    assert torch.allclose(network[2].running_mean, inner.mean(dim=(0, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("wrong", [[], [torch.zeros(8, 2, 4, 4)], [torch.zeros(8, 1, 4, 4), torch.zeros(8, 5, 4, 4)]])
def test_statistics_stay_if_there_is_no_batch_or_one_that_does_not_fit(wrong):
    network = small()
    network(batches()[0])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises((InputError, RuntimeError)):
        calibrate(network, wrong)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert (network[1].training, network[1].momentum) == (True, 0.1)


def test_a_network_without_running_statistics_stays_and_needs_no_images():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False), nn.GroupNorm(1, 2))

    def no_images():
        raise AssertionError("read")
        yield

    calibrate(network, no_images())
