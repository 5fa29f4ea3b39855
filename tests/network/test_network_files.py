import copy
import json
import pickle
import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import sacp
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks_zoo import CUSTOM_NETWORKS, PAPER_NETWORKS, any_network, random_kept, randomised_norms, spec
from sacp.artefacts import record
from sacp.artefacts.digests import sealed
from sacp.artefacts.files import write_json
from sacp.errors import InputError
from sacp.network.architectures import build
from sacp.network.graph import load_graph, save_graph
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune, widths
from sacp.network.weights import inherit, load_base, save_base
from sacp.pruning.files import load_kept, load_scales, save_kept, save_network
from sacp.tracing.trace import trace

SPEC = spec("resnet8", 0.25, 8)


def spec_of(name: str) -> NetworkSpec:
    if name in CUSTOM_NETWORKS:
        return spec(f"networks_zoo:{name}", 1.0, 8)
    return spec(name, 0.25, 32 if name.startswith("vgg") else 8)


def saved(folder: Path, name: str = "resnet8") -> torch.nn.Module:
    """Save a pruned network in `folder` and return it, in evaluation mode."""
    network, graph, _ = any_network(name)
    kept = random_kept(graph, np.random.default_rng(1))
    smaller = prune(randomised_norms(network), graph, kept)
    about = {"widths": widths(graph, kept), "mean": [0.5] * 3, "std": [0.2] * 3, "metrics": {"flops": 1}}
    save_network(folder, smaller, spec_of(name), about)
    return smaller.eval()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.pt"
    save_base(path, randomised_norms(build(SPEC)), SPEC)
    return path


class Malice:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        import os

        return (os.mkdir, (self.marker,))


@pytest.mark.parametrize("name", [*PAPER_NETWORKS, *CUSTOM_NETWORKS])
def test_loaded_network_gives_the_same_bits(tmp_path, name):
    smaller = saved(tmp_path, name)
    loaded = sacp.load(tmp_path, network=CUSTOM_NETWORKS.get(name))
    images = torch.randn(4, *spec_of(name).input_shape[1:])
    with torch.no_grad():
        assert torch.equal(loaded(images), smaller(images))
    assert not any(module.training for module in loaded.modules())
    assert loaded.state_dict().keys() == smaller.state_dict().keys()


def test_a_layer_under_two_names_is_written_under_both_and_is_one_when_loaded(tmp_path):
    def under_two_names(num_classes):
        network = CUSTOM_NETWORKS["flat"](num_classes)
        network.body = torch.nn.Sequential(network.conv1, network.norm1)
        return network

    torch.manual_seed(0)
    network, shape = under_two_names(10), (1, 3, 8, 8)
    graph = trace(network, shape)
    smaller = prune(network, graph, random_kept(graph, np.random.default_rng(2)))
    save_network(tmp_path, smaller, spec("user:net", 1.0, 8), {})
    loaded = sacp.load(tmp_path, network=under_two_names)
    assert loaded.body[0] is loaded.conv1
    before, after = smaller.state_dict(), loaded.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def recorded(folder: Path, name: str) -> None:
    """Save a pruned network as a job does, with the record of its files."""
    saved(folder, name)
    files = [folder / "network.json", folder / "network.safetensors"]
    write_json(folder / "provenance.json", record.finished(record.record("rule", {}, {}, [], 0), files))


def test_another_networks_pair_is_not_what_the_record_names(tmp_path):
    for name in ("resnet8", "resnet14"):
        recorded(tmp_path / name, name)
        sacp.load(tmp_path / name)
    for name in ("network.json", "network.safetensors"):
        shutil.copy(tmp_path / "resnet14" / name, tmp_path / "resnet8" / name)
    with pytest.raises(InputError, match=r"resnet8/network\.json: damaged or changed .* as in provenance\.json"):
        sacp.load(tmp_path / "resnet8")
    (tmp_path / "resnet8/provenance.json").unlink()
    sacp.load(tmp_path / "resnet8")  # a folder of its own, given away without a record


def test_network_given_by_import_path_wants_its_function(tmp_path):
    saved(tmp_path, "depthwise")
    with pytest.raises(InputError, match=r"'networks_zoo:depthwise'; pass that function: .*network=") as caught:
        sacp.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["depthwise", "resnet8"])
@pytest.mark.parametrize("built", [None, "network", torch.nn.ReLU])
def test_a_builder_that_returns_no_network_is_refused_by_the_folder(tmp_path, name, built):
    saved(tmp_path, name)
    with pytest.raises(InputError) as caught:
        sacp.load(tmp_path, network=lambda num_classes: built)
    hint = ": does it end with `return`?" if built is None else ""
    expected = f"{tmp_path}: 'network' returned a {type(built).__name__}, expected a torch.nn.Module{hint}"
    assert str(caught.value) == expected


def test_no_module_is_imported_on_the_word_of_a_file(tmp_path, monkeypatch):
    module, marker = tmp_path / "planted.py", tmp_path / "imported"
    module.write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    save_network(tmp_path, build(SPEC), spec("planted:make"), {})
    with pytest.raises(InputError):
        sacp.load(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_truncated_weights_are_refused_by_file(tmp_path, size):
    saved(tmp_path)
    weights = tmp_path / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(
        InputError, match=r"network\.safetensors: cannot be read as safetensors .*; copy the folder again"
    ):
        sacp.load(tmp_path)


@pytest.mark.parametrize("name", ["network.json", "network.safetensors"])
def test_missing_file_is_refused_by_name(tmp_path, name):
    saved(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path / name))}: .*; (copy|expected) the folder"):
        sacp.load(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"network": {"name": "vgg16"}}', '{"network": 3}', "\x00"])
def test_description_that_is_none_is_refused(tmp_path, text):
    saved(tmp_path)
    (tmp_path / "network.json").write_text(text)
    with pytest.raises(InputError, match=r"network\.json: .*; copy the folder again .*, or delete it and make"):
        sacp.load(tmp_path)


NO_DESCRIPTION = "not the description of a pruned network: "
ABSENT = object()
FORGED = [
    ("network", ABSENT, "network: missing; expected an object"),
    ("network", [], "network: found [], expected an object"),
    ("network/name", None, "network.name: found None, expected a text"),
    ("network/name", "resnet" + "8" * 5000, "expected a text of 255 letters at most"),
    ("network/width", ABSENT, "network.width: missing; expected a number above 0, 16 at most"),
    *(("network/width", value, f"network.width: found {value!r}, ") for value in (-1, 0, "1", True, [], 17, 1e308)),
    ("network/width", float("nan"), "network.width: found nan, expected"),
    *(("network/in_channels", value, f"network.in_channels: found {value!r}, ") for value in (-3, 0, "3", 1.5, None)),
    ("network/image_size", {}, "network.image_size: found {}, expected an integer from 1 to 1000000"),
    ("network/num_classes", 10**12, "network.num_classes: found 1000000000000, expected an integer from 1 to 1000000"),
    ("network/depth", 8, "network.depth: unknown; expected what builds a network alone"),
    ("widths", [4], "widths: found [4], expected an object"),
    *(("widths/conv1", value, f"widths.conv1: found {value!r}, expected ") for value in (-4, 0, "4", 99, None)),
    ("widths/conv9", 4, "widths.conv9: the network has no layer of this name"),
    ("mean", "0.5", "mean: found '0.5', expected a list of numbers"),
    ("resize", 0, "resize: found 0, expected an integer from 1 to 1000000, or two"),
    ("resize", [64], "resize: found [64], expected an integer from 1 to 1000000, or two"),
    ("crop", 64.0, "crop: found 64.0, expected an integer from 1 to 1000000"),
    ("mean", [0.5], "mean: found 1 numbers, expected one for each of 3 channels"),
    ("std", [0.2, -0.2, 0.2], "std: found [0.2, -0.2, 0.2], expected a list of numbers, none below 0"),
    ("metrics", None, "metrics: found None, expected an object"),
    ("metrics/failure", ["diverged"], "metrics.failure: found ['diverged'], expected a text"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), FORGED)
def test_a_description_with_its_own_seal_and_other_values_is_refused_by_file_and_key(tmp_path, key, value, expected):
    saved(tmp_path)
    path = tmp_path / "network.json"
    description = json.loads(path.read_text())
    *above, last = key.split("/")
    place = description[above[0]] if above else description
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    path.write_text(json.dumps(sealed(description)))
    with pytest.raises(InputError) as caught:
        sacp.load(tmp_path)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{path}: {NO_DESCRIPTION}")
    assert "\n" not in str(caught.value)


def test_loading_draws_no_random_numbers(tmp_path):
    saved(tmp_path)
    before = torch.get_rng_state()
    sacp.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_builder_of_another_network_is_refused_by_the_folder(tmp_path):
    saved(tmp_path, "depthwise")
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path))}: weights do not fit the network: "):
        sacp.load(tmp_path, network=CUSTOM_NETWORKS["flat"])


def test_weights_of_another_network_are_refused(tmp_path):
    saved(tmp_path / "a", "vgg16")
    saved(tmp_path / "b", "resnet18")
    (tmp_path / "a" / "network.safetensors").replace(tmp_path / "b" / "network.safetensors")
    with pytest.raises(InputError, match=r"network\.safetensors: .*: not the weights of its network\.json; "):
        sacp.load(tmp_path / "b")


@pytest.mark.parametrize("name", ["network.json", "network.safetensors"])
def test_one_flipped_bit_anywhere_is_refused(tmp_path, name):
    saved(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    for at in np.linspace(0, 8 * len(whole) - 1, 40, dtype=int):
        content = bytearray(whole)
        content[at // 8] ^= 1 << (at % 8)
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(str(path))):
            sacp.load(tmp_path)
    path.write_bytes(whole)
    sacp.load(tmp_path)


def test_base_round_trip_keeps_every_bit(base):
    network = randomised_norms(build(SPEC))
    save_base(base, network, SPEC)
    state = load_base(base, SPEC).state_dict()
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_equal_bases_give_equal_bytes_and_say_nothing_of_how_they_were_made(base, tmp_path):
    save_base(tmp_path / "again.pt", load_base(base, SPEC), SPEC)
    assert (tmp_path / "again.pt").read_bytes() == base.read_bytes()
    assert set(torch.load(base, weights_only=True)) == {"state", "network"}


@pytest.mark.parametrize("other", [spec("resnet14", 0.25, 8), spec("resnet8", 0.5, 8), spec("resnet8", 0.25, 16)])
def test_base_of_another_network_is_refused(base, other):
    with pytest.raises(InputError, match=r"base\.pt: holds the network"):
        load_base(base, other)


def test_base_whose_builder_has_changed_is_refused(tmp_path):
    made = spec_of("flat")
    save_base(tmp_path / "base.pt", any_network("depthwise")[0], made)
    with pytest.raises(InputError, match=r"base\.pt"):
        load_base(tmp_path / "base.pt", made)


def write_pickle(value, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("write", [write_pickle, torch.save])
@pytest.mark.parametrize("hidden_in", ["itself", "state", "network"])
def test_malicious_base_is_refused_and_not_run(tmp_path, write, hidden_in):
    marker, path = tmp_path / "run", tmp_path / "base.pt"
    good = {"state": {}, "network": {}}
    write(Malice(marker) if hidden_in == "itself" else good | {hidden_in: Malice(marker)}, path)
    with pytest.raises(InputError, match=r"base\.pt: corrupt or not a checkpoint"):
        load_base(path, SPEC)
    assert not marker.exists()
    with suppress(RuntimeError):  # a bare pickle is run, then found to be no checkpoint
        torch.load(path, weights_only=False)
    assert marker.exists()  # the bait is live


def test_malicious_pickle_in_place_of_the_weights_is_refused_and_not_run(tmp_path):
    saved(tmp_path)
    write_pickle(Malice(tmp_path / "run"), tmp_path / "network.safetensors")
    with pytest.raises(InputError, match=r"network\.safetensors"):
        sacp.load(tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_base_is_refused(base, share):
    whole = base.read_bytes()
    base.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"base\.pt: corrupt or not a checkpoint"):
        load_base(base, SPEC)


@given(content=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: b"\x80\x02" + tail)))
@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_other_file_in_place_of_the_base_is_refused(tmp_path, content):
    (tmp_path / "base.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"base\.pt: "):
        load_base(tmp_path / "base.pt", SPEC)


@pytest.mark.parametrize("name", [*PAPER_NETWORKS, *CUSTOM_NETWORKS])
def test_graph_and_kept_channels_round_trip(tmp_path, name):
    _, graph, _ = any_network(name)
    kept = random_kept(graph, np.random.default_rng(2))
    save_graph(tmp_path / "network.json", graph, spec_of(name))
    save_kept(tmp_path / "kept.json", graph, kept)
    assert load_graph(tmp_path / "network.json") == graph
    loaded = load_kept(tmp_path / "kept.json", graph)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(loaded, kept, strict=True))


def test_equal_kept_channels_give_equal_bytes(tmp_path):
    _, graph, _ = any_network("resnet18")
    kept = random_kept(graph, np.random.default_rng(2))
    save_kept(tmp_path / "one.json", graph, kept)
    save_kept(tmp_path / "two.json", graph, load_kept(tmp_path / "one.json", graph))
    assert (tmp_path / "two.json").read_bytes() == (tmp_path / "one.json").read_bytes()


def test_factors_of_the_kept_channels_round_trip_and_are_written_only_where_there_are_some(tmp_path):
    _, graph, _ = any_network("flat")
    kept, scales = [np.array([0, 2]), np.array([4])], [np.array([1.25, 1 / 3]), np.array([-0.5])]
    save_kept(tmp_path / "plain.json", graph, kept)
    assert json.loads((tmp_path / "plain.json").read_text()) == {"kept": {"conv1": [0, 2], "conv2": [4]}}
    assert load_scales(tmp_path / "plain.json", graph) is None
    save_kept(tmp_path / "scaled.json", graph, kept, scales)
    loaded = load_scales(tmp_path / "scaled.json", graph)
    assert [factors.tolist() for factors in loaded] == [factors.tolist() for factors in scales]
    assert [channels.tolist() for channels in load_kept(tmp_path / "scaled.json", graph)] == [[0, 2], [4]]


@pytest.mark.parametrize(("scales", "number"), [({"conv1": [1.0], "conv2": [1.0]}, 1), ({"conv2": [1.0]}, 0), ({}, 0)])
def test_factors_that_do_not_fit_the_kept_channels_are_refused(tmp_path, scales, number):
    _, graph, _ = any_network("flat")
    (tmp_path / "kept.json").write_text(json.dumps({"kept": {"conv1": [0, 2], "conv2": [4]}, "scales": scales}))
    with pytest.raises(InputError, match=rf"kept\.json: {number} factors of the 2 channels that group 'conv1' keeps"):
        load_scales(tmp_path / "kept.json", graph)


def test_kept_channels_of_another_network_are_refused(tmp_path):
    _, graph, _ = any_network("resnet18")
    save_kept(tmp_path / "kept.json", graph, random_kept(graph, np.random.default_rng(2)))
    with pytest.raises(InputError, match=r"kept\.json: kept channels of the groups"):
        load_kept(tmp_path / "kept.json", any_network("vgg16")[1])


def test_inherit_takes_the_weights_or_refuses_the_file(tmp_path):
    smaller = saved(tmp_path)
    twin = copy.deepcopy(smaller)
    torch.nn.init.zeros_(twin.conv1.weight)
    inherit(twin, tmp_path / "network.safetensors")
    assert torch.equal(twin.conv1.weight, smaller.conv1.weight)
    with pytest.raises(InputError, match=r"network\.safetensors: weights do not fit"):
        inherit(build(SPEC), tmp_path / "network.safetensors")
