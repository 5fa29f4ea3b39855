import torch
from sacp.training.evaluation import recalibrate
from torch import nn


def test_statistics_of_batch_norms_become_means_over_the_batches():
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2)).eval()
    batches = [torch.randn(8, 1, 4, 4) * scale + scale for scale in (1, 3)]
    weights = network[0].weight.detach().clone()
    recalibrate(network, batches)
    maps = [network[0](batch) for batch in batches]
    means = torch.stack([part.mean(dim=(0, 2, 3)) for part in maps]).mean(dim=0)
    variances = torch.stack([part.var(dim=(0, 2, 3)) for part in maps]).mean(dim=0)
    assert torch.allclose(network[1].running_mean, means, atol=1e-6)
    assert torch.allclose(network[1].running_var, variances, atol=1e-5)
    assert torch.equal(network[0].weight, weights)
    assert not network.training
    assert not network[1].training
