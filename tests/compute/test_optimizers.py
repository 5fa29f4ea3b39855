"""SGD without the compiler is torch's SGD, in every bit."""

import copy

import pytest
import torch
from sacp.compute.optimizers import SGD
from torch import nn


def trained(kind: type[torch.optim.Optimizer], nesterov: bool) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A small network after some steps, with a saved and restored state half-way."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))

    def made() -> torch.optim.Optimizer:
        return kind(network.parameters(), 0.1, 0.9, 0, 5e-4, nesterov, fused=True)  # type: ignore[call-arg]

    optimizer = made()
    for step in range(10):
        if step == 5:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = made()
            optimizer.load_state_dict(state)
        network(torch.randn(4, 2, 8, 8)).square().mean().backward()
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        optimizer.step()
        optimizer.zero_grad()
    return network, optimizer


@pytest.mark.parametrize("nesterov", [False, True])
def test_steps_and_states_are_those_of_torch_in_every_bit(nesterov: bool) -> None:
    (ours, own), (theirs, other) = trained(SGD, nesterov), trained(torch.optim.SGD, nesterov)
    for (name, value), expected in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name
    mine, its = own.state_dict(), other.state_dict()
    assert mine["param_groups"] == its["param_groups"]
    for number, buffers in mine["state"].items():
        assert torch.equal(buffers["momentum_buffer"], its["state"][number]["momentum_buffer"])


def test_a_step_records_no_gradient() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = SGD([parameter], 0.1)
    parameter.sum().backward()
    optimizer.step()
    assert parameter.grad_fn is None
    assert torch.equal(parameter.detach(), torch.full((3,), 0.9))
