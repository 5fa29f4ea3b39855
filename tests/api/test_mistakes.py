"""What users of the functions do wrong, and what they are told: one line of our own words, and nothing is written."""

import math
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacp
import torch
from image_tree import SIZE, write_tree
from sacp.api.data import Data
from sacp.errors import InputError
from torch import nn
from words import check_words

SHAPE, LONG = (1, 3, 8, 8), "n" * 300


def network() -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, bias=False)]
    return nn.Sequential(*body, nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


class Given(nn.Module):
    """Its forward is a function of the network and the images."""

    def __init__(self, function: Callable[[nn.Module, Any], Any]) -> None:
        super().__init__()
        self.body, self.function = network(), function

    def forward(self, x: Any) -> Any:
        return self.function(self.body, x)


class Between(nn.Module):
    """A function stands between a convolution and the classifier."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.conv, self.function, self.linear = nn.Conv2d(3, 8, 3), function, nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.linear(self.function(self.conv(x)).mean((2, 3)))


def branching(body: nn.Module, x: Any) -> Any:
    return body(x) if x.sum() > 0 else -body(x)


def failing(body: nn.Module, x: Any) -> Any:
    raise ValueError("two\nlines of <_io.BytesIO object at 0x7fc964e63d30> in \x1b[1mbold\x1b[0m")


def with_nan() -> nn.Module:
    found = network()
    nn.init.constant_(found.get_parameter("0.weight"), math.nan)
    return found


def with_hook() -> nn.Module:
    found = network()
    found[0].register_forward_hook(lambda *arguments: None)
    return found


def with_one_tensor_twice() -> nn.Module:
    found = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found[2].weight = found[1].weight
    return found


def normed() -> nn.Module:
    found = network()
    nn.utils.parametrizations.weight_norm(found[0])
    return found


@dataclass(frozen=True)
class World:
    """A folder with what is given."""

    path: Path
    data: Data

    def damaged(self, name: str, content: bytes | None) -> str:
        """A saved network of which one file is another, or is missing."""
        folder = self.path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.path / "saved", folder)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        return "damaged"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    path = tmp_path_factory.mktemp("mistakes")
    write_tree(path / "tree", train=3, val=1)
    sacp.save(network(), path / "saved")
    (path / "file").write_text("x")
    (path / "full").mkdir()
    (path / "full/a.txt").write_text("x")
    (path / "wrong_functions.py").write_text(
        "def nothing(network, graph, levels): return None\n"
        "def number(network, graph, batches, seed): return 3\n"
        "def failing(network, graph, levels): raise KeyError('two\\nlines')\n"
        "def talking(network, graph, batches, seed): raise RuntimeError('many words ' * 90)\n"
    )
    return World(path, sacp.data(path / "tree", image_size=SIZE))


@pytest.fixture
def world(made: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(made.path)
    monkeypatch.syspath_prepend(made.path)
    return made


Case = tuple[Callable[[World], object], str]


def pruning(expected: str, given: Any = network, example: Any = SHAPE, **more: Any) -> Case:
    """A call of `sacp.prune` with one thing that is wrong."""
    return lambda world: sacp.prune(given(), example, **{"flops": 0.5} | more), expected


def budgeting(expected: str, **more: Any) -> Case:
    """A call of `sacp.prune` with a budget on latency."""
    return pruning(expected, flops=None, **{"latency": 0.5} | more)


def training(expected: str, given: Any = network, **more: Any) -> Case:
    """A call of `sacp.train` with one thing that is wrong, as of the functions that follow."""
    return lambda world: sacp.train(given(), world.data, **{"epochs": 1, "device": "cpu"} | more), expected


def reading(expected: str, path: Any = "tree", **more: Any) -> Case:
    return lambda world: sacp.data(path, **more), expected


def timing(expected: str, given: Any = network, example: Any = SHAPE, **more: Any) -> Case:
    return lambda world: sacp.latency(given(), example, **{"runtimes": ["eager"], "seconds": 0} | more), expected


def exporting(expected: str, given: Any = network, folder: Any = "out", example: Any = SHAPE, **more: Any) -> Case:
    return lambda world: sacp.export(given(), folder, example, **more), expected


def saving(expected: str, folder: Any = "out", given: Any = network) -> Case:
    return lambda world: sacp.save(given(), folder), expected


def loading(expected: str, folder: Any = "saved", given: Any = network) -> Case:
    return lambda world: sacp.load(folder, network=given), expected


def damaged(expected: str, name: str, content: bytes | None) -> Case:
    return lambda world: sacp.load(world.damaged(name, content), network=network), expected


DESCRIPTION, WEIGHTS = "network.json", "network.safetensors"
NAN_IMAGES = [torch.full((2, 3, 8, 8), math.nan)]
IN_PLAIN_WORDS = "(ValueError: two lines of <BytesIO> in bold)"  # what `failing` raises
NO_MODULE = "network: found 'net', expected a torch.nn.Module"
MISTAKES: dict[str, Case] = {
    # sacp.prune: the network
    "no network": pruning(NO_MODULE, lambda: "net"),
    "a wrapped one": pruning("network: found it wrapped in DataParallel", lambda: nn.DataParallel(network())),
    "a branch": pruning("network: forward of Given cannot be traced at ", lambda: Given(branching)),
    "a forward that fails": pruning(IN_PLAIN_WORDS, lambda: Given(failing)),
    "weight norm": pruning("layer '0' computes its 'weight' anew in each forward", normed),
    "a hook": pruning("layer '0' has a forward hook", with_hook),
    "one tensor twice": pruning("'1.weight' and '2.weight' are one tensor", with_one_tensor_twice),
    "NaN in weights": pruning("of layer '0' hold NaN or infinite weights; expected finite ones", with_nan),
    "a network without values": pruning("network: '0.weight' has no values", lambda: network().to("meta")),
    "nothing to prune": pruning("network: no layer has output channels that can be pruned", nn.ReLU),
    "a sort": pruning("operation 'sort' at node 'sort' (", lambda: Between(lambda y: y.sort(1)[0])),
    "a number of channels": pruning("is used as a number at node", lambda: Between(lambda y: y * y.shape[1])),
    "NumPy inside": pruning("cannot be traced at ", lambda: Between(lambda y: torch.from_numpy(y.detach().numpy()))),
    "another type": pruning("must have the same dtype", lambda: Between(torch.fft.fft2)),
    # its example
    "three channels for four": pruning("fails on an input of shape [1, 4, 8, 8], at '0'", example=(1, 4, 8, 8)),
    "an image too small": pruning("network: Sequential fails on an input of shape [1, 3, 1, 1]", example=(1, 3, 1, 1)),
    "a negative size": pruning("example: found (1, 3, -8, 8), expected a batch", example=(1, 3, -8, 8)),
    "a size as text": pruning("example: found '1,3,8,8', expected a batch", example="1,3,8,8"),
    "a size with a point": pruning("example: found (1, 3, 8.0, 8), expected a batch", example=(1, 3, 8.0, 8)),
    "sizes of a generator": pruning("example: found <generator object ", example=(size for size in SHAPE)),
    "an array": pruning("example: found array([[[[0., 0.,", example=np.zeros(SHAPE)),
    # what is asked for
    "an unknown criterion": pruning("unknown criterion 'l2' (did you mean 'l1'?); known: l1,", criterion="l2"),
    "an unknown score": pruning("unknown score 'sensitvity' (did you mean 'sensitivity'?)", score="sensitvity"),
    "a score of no module": pruning("cannot import 'no:f' (No module named 'no'); expected", score="no:f"),
    "a score that gives nothing": pruning("'wrong_functions:nothing': found ", score="wrong_functions:nothing"),
    "a criterion that gives a number": pruning("found no list of arrays", criterion="wrong_functions:number"),
    "a score that fails": pruning("'wrong_functions:failing' fails: KeyError: ", score="wrong_functions:failing"),
    "a criterion that says much": pruning(" many words... (", criterion="wrong_functions:talking"),
    "a layer that is none": pruning("ignore: found 'stem', which no convolution", ignore=["stem"]),
    "rounding by a text": pruning("round_to: found '8', expected an integer", round_to="8"),
    "channels by a text": pruning("at_least: found 'few', expected an integer", at_least="few"),
    "a negative seed": pruning("seed: found -1, expected an integer from 0", seed=-1),
    "a proof in half": pruning("proof: found 'float16', expected auto or float64", proof="float16"),
    "too many levels": pruning("levels: found 1000, expected an integer from 2 to 256", levels=1000),
    "another word": pruning("macs: prune has no such argument (did you mean 'flops'?)", macs=0.5),
    "a budget in percent": pruning("flops: found '50%', expected a number above 0", flops="50%"),
    "a budget that is NaN": pruning("flops: found nan, expected a number above 0", flops=math.nan),
    # its images
    "a folder for images": pruning("images: found a str, expected several batches", images="tree"),
    "one tensor of images": pruning("images: found a tensor of shape", images=torch.zeros(2, 3, 8, 8)),
    "images with labels": pruning("of images with labels, the images alone", images=[(torch.zeros(SHAPE), 1)]),
    "images of bytes": pruning("and type torch.uint8, expected tensors", images=[torch.zeros(SHAPE).byte()]),
    "images that are NaN": pruning("images: found a batch that holds NaN", images=NAN_IMAGES),
    "no images to calibrate": pruning("calibrate: found no batch of images", calibrate=[]),
    "calibration with NaN": pruning("calibrate: found a batch that holds NaN", calibrate=NAN_IMAGES),
    # its latency
    "a latency in words": budgeting("latency: found 'fast', expected a share", latency="fast"),
    "a latency in seconds": budgeting("latency: found '1 s', expected a share", latency="1 s"),
    "an unknown runtime": budgeting("runtime: found 'tensorrt', expected eager or onnxruntime", runtime="tensorrt"),
    "no input at once": budgeting("batch: found 0, expected an integer from 1", batch=0),
    "no thread": budgeting("threads: found 0, expected an integer from 1", threads=0),
    "times in a folder": budgeting("timings: 'full' is a folder; expected the path of a file", timings="full"),
    "times in no JSON": budgeting("file: not valid JSON", timings="file"),
    "times in a long name": budgeting("timings: 'nnn", timings=LONG),
    # sacp.save
    "a text is saved": saving("network: found a str, expected a torch.nn.Module", given=lambda: "net"),
    "saved in a number": saving("folder: found 3, expected the path of a folder", 3),
    "saved in no name": saving("folder: found '', expected the path of a folder", ""),
    "saved in a file": saving("file: found a file, expected a folder of its own", "file"),
    "saved below a file": saving("/file/out: cannot be written: ", "file/out"),
    "saved among others": saving("full: holds 'a.txt', which is not of a saved network", "full"),
    "saved where nothing can be": saving("/proc/out: cannot be written: ", "/proc/out"),
    "saved under a long name": saving("holds a name of 300 bytes; expected 255 at most", LONG),
    "saved without values": saving("'0.weight' has no values", given=lambda: network().to("meta")),
    # sacp.load
    "loaded from nowhere": loading("nowhere/network.json: no such file; expected the folder of", "nowhere"),
    "loaded from a file": loading("file/network.json: no such file; expected the folder of", "file"),
    "loaded from a number": loading("folder: found 3, expected the path of a folder", 3),
    "loaded from a long name": loading("holds a name of 300 bytes; expected 255 at most", LONG),
    "loaded without its function": loading("pass a function that returns the unpruned one", given=None),
    "loaded as another": loading("weights do not fit the network", given=lambda: nn.Linear(3, 3)),
    "loaded with a network": loading("found a Sequential, expected a function", given=network()),
    "loaded with nothing": loading("returned a NoneType, expected a torch.nn.Module", given=lambda: None),
    "loaded with an argument": loading("it is called without arguments", given=lambda classes: network()),
    "half of the weights": damaged("cannot be read as safetensors", WEIGHTS, b"\x40" * 50),
    "pickled weights": damaged("cannot be read as safetensors", WEIGHTS, pickle.dumps({})),
    "no weights": damaged("network.safetensors: no such file; copy the folder again", WEIGHTS, None),
    "half of a description": damaged("network.json: not valid JSON", DESCRIPTION, b"{"),
    "a list for a description": damaged("holds a list, expected a JSON object", DESCRIPTION, b"[]"),
    "an empty description": damaged("'sha256' is not that of its content", DESCRIPTION, b"{}"),
    "bytes for a description": damaged("network.json: not valid JSON", DESCRIPTION, b"\xff\xfe\0"),
    # sacp.export
    "an unknown format": exporting("formats: found ['tf'], expected some of", formats=["tf"]),
    "no format": exporting("formats: found [], expected some of", formats=[]),
    "exported in a file": exporting("file: found a file, expected a folder of its own", folder="file"),
    "exported among others": exporting("full: holds 'a.txt', which is not of", folder="full"),
    "exported with four channels": exporting("fails on the shape [1, 4, 8, 8]", example=(1, 4, 8, 8)),
    "exported by three sizes": exporting("example: found (3, 8, 8), expected a batch", example=(3, 8, 8)),
    "exported in half": exporting("torch.float32: network.float()", lambda: network().half(), formats=["onnx"]),
    "nothing exported": exporting("network: found a str, expected a torch.nn.Module", lambda: "net"),
    "exported though it fails": exporting(IN_PLAIN_WORDS, lambda: Given(failing)),
    # sacp.latency and sacp.compare
    "a text is timed": timing(NO_MODULE, lambda: "net"),
    "timed by three sizes": timing("example: found (3, 8, 8), expected a batch", example=(3, 8, 8)),
    "timed with four channels": timing("fails on a batch of shape [1, 4, 8, 8]", example=(1, 4, 8, 8)),
    "timed in no runtime": timing("runtimes: found 'tensorrt', expected eager or", runtimes=["tensorrt"]),
    "runtimes in a text": timing("runtimes: found 'eager', expected a list", runtimes="eager"),
    "a batch of none": timing("batches: found 0, expected an integer from 1", batches=[0]),
    "batches in a number": timing("batches: found 4, expected a list", batches=4),
    "timed with no threads": timing("threads: found -1, expected an integer from 1", threads=-1),
    "seconds in a text": timing("seconds: found '2', expected a number from 0", seconds="2"),
    "beside a text": timing("original: found 'net', expected a torch.nn.Module", original="net"),
    "timed beyond memory": timing(
        "latency: memory is too small (asked for: 768000000000000 bytes); lower the sizes", batches=[10**12]
    ),
    "timed though it fails": timing(IN_PLAIN_WORDS, lambda: Given(failing)),
    "compared with nothing": (
        lambda world: sacp.compare(network(), None, SHAPE),  # type: ignore[arg-type]
        "network: found None, expected a torch.nn.Module",
    ),
    # sacp.data
    "data of nothing": reading("path: found None, expected the path of a folder", None),
    "data nowhere": reading("nowhere: found no images as they are read; expected a folder with train", "nowhere"),
    "data in a file": reading("file: found no images as they are read", "file"),
    "data in a long name": reading("path: 'nnn", LONG),
    "images of no pixels": reading("image_size: found 0, expected an integer from 1", image_size=0),
    "images of many pixels": reading("image_size: found 9999, expected at most 1024", image_size=9999),
    "scaled below the cut": reading("resize: found 2, expected at least 16 pixels", image_size=SIZE, resize=2),
    "scaled by a word": reading("resize: found 'big', expected a number of pixels", resize="big"),
    "the mean of one channel": reading("mean: found [0.5], expected 3 numbers", image_size=SIZE, mean=[0.5]),
    "no deviation": reading("std: found [0, 1, 1], expected 3 numbers above 0", image_size=SIZE, std=[0, 1, 1]),
    "all held out": reading("validation: found 1.0, expected a share below 1", validation=1.0),
    "more held out": reading("validation: 1000 holds out 1000 of 9", image_size=SIZE, validation=1000),
    "a column of files": reading("image: tree has image files; expected none", image="img"),
    "no batches": (lambda world: world.data.batches(0), "images: found 0, expected an integer from 1"),
    "batches on no device": (lambda world: world.data.batches(4, device="gpu"), "device: found 'gpu', expected cpu or"),
    # sacp.train
    "data by their folder": (
        lambda world: sacp.train(network(), "tree", epochs=1),  # type: ignore[arg-type]
        "data: found a str, expected what sacp.data returns",
    ),
    "a text is trained": training("network: found a str, expected a torch.nn.Module", lambda: "net"),
    "no epoch": training("epochs: found 0, expected an integer from 1", epochs=0),
    "epochs in words": training("epochs: found '5 epochs', expected an integer", epochs="5 epochs"),
    "half an epoch": training("epochs: found 1.5, expected an integer", epochs=1.5),
    "no learning rate": training("lr: found 0, expected a number above 0 and up to 10", lr=0),
    "a rate that is NaN": training("lr: found nan, expected a number above 0", lr=math.nan),
    "a rate in a text": training("lr: found '0.1', expected a number above 0", lr="0.1"),
    "steps of one image": training("batch_size: found 1, expected an integer from 2", batch_size=1),
    "a negative decay": training("weight_decay: found -1, expected a number from 0", weight_decay=-1),
    "a warm-up of all": training("warmup_epochs: found 3, expected less than the 1 epochs", warmup_epochs=3),
    "an unknown device": training("device: found 'tpu', expected auto, cpu, cuda", device="tpu"),
    "an unknown precision": training("precision: found 'fp16', expected float32,", precision="fp16"),
    "a teacher by name": training("teacher: found a str, expected a torch.nn.Module", teacher="net"),
    "a weight without teacher": training("distill_weight: found 0.5 without a teacher", distill_weight=0.5),
    "nothing to train": training("frozen; expected some that", lambda: network().requires_grad_(False)),
    "trained in half": training("network: found parameters in torch.float16", lambda: network().half()),
    "trained without values": training("network: '0.weight' has no values", lambda: network().to("meta")),
    "trained with NaN": training("gives NaN or infinite values for random images", with_nan),
    "other classes": training("a logit for each of the", lambda: nn.Sequential(network(), nn.Linear(3, 4))),
    "trained though it fails": training(IN_PLAIN_WORDS, lambda: Given(failing)),
    "a state in another file": training("state: file: corrupt or not a checkpoint", state="file"),
    "a state in a folder": training("state: 'full' is a folder; expected the path of a file", state="full"),
    "a state in a number": training("state: found 3, expected the path of a file", state=3),
}


def files(path: Path) -> set[str]:
    return {each.relative_to(path).as_posix() for each in path.rglob("*") if "__pycache__" not in each.parts}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_of_our_own_words_and_nothing_is_written(world: World, mistake: str) -> None:
    call, expected = MISTAKES[mistake]
    before = files(world.path)
    with pytest.raises(InputError) as caught:
        call(world)
    check_words(str(caught.value), expected)
    assert {name for name in files(world.path) - before if not name.startswith("damaged")} == set()
