"""A state dict goes into a network: names that wrappers have made longer are cut, what does not fit is named."""

import copy
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sacp.errors import InputError, listed, told

log = logging.getLogger(__name__)
WRAPPED = "module."  # of DataParallel and its kin
INSIDE = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # torch's, in any place
COUNT = "num_batches_tracked"  # files of before PyTorch 0.4.1 have none, and torch does without
AVERAGED = "n_averaged"  # beside the averages of torch.optim.swa_utils.AveragedModel
VERSIONS = "_metadata"  # torch's attribute of a state dict: versions of layers, of files of torch.save alone

State = Mapping[str, Tensor]


def load_into(network: nn.Module, state: State, path: str | Path) -> None:
    """Load a state dict into a network; what had to be taken off its names is logged.

    Args:
        network: it changes only if all fits.
        state: names and tensors.
        path: where they come from, for messages.

    Raises:
        InputError: names or shapes are others than the network's, or values are not finite.
    """
    own: dict[str, Any] = network.state_dict()
    state = _with_versions(_plain(state, own, path), network)
    if found := difference(own, state):
        try:  # some networks rename or leave out themselves
            copy.deepcopy(network).load_state_dict(state)
        except Exception:  # maybe the user's code
            raise InputError(f"{path}: weights do not fit the network: {found}") from None
    _check_values(own, state, path)
    try:
        network.load_state_dict(state)
    except Exception as error:  # as above
        raise InputError(f"{path}: the network refuses the weights ({told(error)})") from error


def _plain(state: State, own: Collection[str], path: str | Path) -> State:
    """The state without what wrappers put before its names, or in them; as it is if it fits so."""
    if _alike(state, own):
        return state
    removed = [*dict.fromkeys(mark[0] for name in state for mark in INSIDE.finditer(name))]
    found = _renamed(state, lambda name: INSIDE.sub("", name)) if removed else state
    if AVERAGED in found and all(name.startswith(WRAPPED) for name in found if name != AVERAGED):
        found = _renamed(found, lambda name: name, leave_out=AVERAGED)
        removed.append(AVERAGED)
    if prefix := _prefix(found, own):
        found = _renamed(found, lambda name: name.removeprefix(prefix))
        removed.insert(0, prefix)
    if removed:
        log.info("%s: %s taken off the names of its weights", path, " and ".join(f"'{each}'" for each in removed))
    return found


def _prefix(state: State, own: Collection[str]) -> str:
    """What all names begin with: as much as makes them the network's or, if nothing does, what DataParallel writes."""
    levels = zip(*(name.split(".")[:-1] for name in state), strict=False)
    common = takewhile(lambda level: len({*level}) == 1, levels)
    prefixes = [*accumulate(f"{level[0]}." for level in common)]
    fitting = (each for each in prefixes if _alike([name.removeprefix(each) for name in state], own))
    of_wrappers = [each for each in prefixes if {*each.split(".")} == {*WRAPPED.split(".")}]
    return next(fitting, of_wrappers[-1] if of_wrappers else "")


def _alike(names: Collection[str], own: Collection[str]) -> bool:
    """Whether names are the network's, but for counts."""
    return all(name.endswith(COUNT) for name in {*names} ^ {*own})


def _renamed(state: State, rename: Callable[[str], str], leave_out: str = "") -> State:
    """The same tensors by other names; versions of layers go with these."""
    found = OrderedDict((rename(name), each) for name, each in state.items() if name != leave_out)
    if versions := vars(state).get(VERSIONS) if isinstance(state, OrderedDict) else None:
        vars(found)[VERSIONS] = OrderedDict((rename(f"{name}.").rstrip("."), each) for name, each in versions.items())
    return found


def _with_versions(state: State, network: nn.Module) -> State:
    """A state of a file without versions of layers, whose names are the network's, is taken to be of its versions."""
    own = network.state_dict()
    has_versions = isinstance(state, OrderedDict) and VERSIONS in vars(state)
    if has_versions or {*state} != {*own}:
        return state
    found = OrderedDict(state)
    vars(found)[VERSIONS] = vars(own)[VERSIONS]
    return found


def difference(own: Mapping[str, Any], state: State) -> str:
    """What is missing, what is too much, and which shapes are others; empty if nothing is."""
    missing = [name for name in own if name not in state and not name.endswith(COUNT)]
    extra = [name for name in state if name not in own]
    shapes = [
        f"{name} {list(state[name].shape)}, expected {list(each.shape)}"
        for name, each in own.items()
        if name in state and isinstance(each, Tensor) and each.shape != state[name].shape
    ]
    parts = (
        (missing, f"of its {len(own)} tensors {len(missing)} are missing ({listed(missing)})"),
        (extra, f"{len(extra)} are not the network's ({listed(extra)})"),
        (shapes, f"{len(shapes)} have other shapes ({listed(shapes)})"),
    )
    return "; ".join(text for names, text in parts if names)


def _check_values(own: Mapping[str, Any], state: State, path: str | Path) -> None:
    """Numbers of the network's kind, finite where its own are."""
    for name, each in own.items():
        found = state.get(name)
        if found is None or not isinstance(each, Tensor):
            continue
        if found.is_floating_point() != each.is_floating_point() or found.is_complex() != each.is_complex():
            raise InputError(f"{path}: {name} is of type {found.dtype}, expected {each.dtype} or one that is like it")
        if found.is_floating_point() and not found.isfinite().all() and each.isfinite().all():
            raise InputError(f"{path}: {name} holds NaN or infinite values; expected finite ones")
