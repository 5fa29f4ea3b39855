"""torch's SGD without torch's compiler, which its methods load when they are first called: a second of each job."""

import inspect
from typing import Any

import torch


def _bare(name: str) -> Any:
    """A method of torch's SGD as it stands in torch's text, without what was wrapped around it for the compiler."""
    return inspect.unwrap(getattr(torch.optim.SGD, name))


class SGD(torch.optim.SGD):
    """Stochastic gradient descent, as torch has it; `torch.compile` must not see it."""

    add_param_group, load_state_dict, state_dict, zero_grad = map(
        _bare, ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    )
    step = torch.no_grad()(_bare("step"))  # torch's wrapper does this too
