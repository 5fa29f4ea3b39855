"""How fast training is: ratios against named peers, measured in one run. `make bench-training` runs it.

Our loop against the usual torchvision loader loop, and against bare steps on one batch, which is the limit; steps and
loop in bfloat16 against bare steps in float32; what determinism, saving and the change from candidate to candidate
cost. Ways that are compared take short turns, and the best turn of each counts: other work on the machine slows single
turns. Images and labels are noise.
"""

import argparse
import copy
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import torch
from PIL import Image
from sacp.compute.arithmetic import EXACT, Engine, arithmetic
from sacp.compute.resume import Sidecar
from sacp.images.splits import ImageSet, Splits
from sacp.network.architectures import build
from sacp.network.graph import Graph, Kept
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_of, l1_order
from sacp.pruning.space import Space
from sacp.tracing.trace import trace
from sacp.training.candidates import tune_candidates
from sacp.training.evaluation import Calibration, accuracy_percent
from sacp.training.loop import batches_of, train
from sacp.training.recipe import Recipe
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

LEVELS = 10
RECIPE = Recipe(1, 0.01, 128, 0.9, 5e-4, False, crop_padding=4, flip=True)
EPOCH_IMAGES, TRAINING_IMAGES = 50_000, 45_000  # of CIFAR-10; and without those held out
SAVE_SECONDS = 60  # default of `save_seconds`


@dataclass(frozen=True)
class Case:
    """A network at a width; pruned to a random configuration of the space above `threshold`, if there is one."""

    name: str
    width: float = 1.0
    threshold: float = 0.0

    def __str__(self) -> str:
        width = f", {self.width:g} of the width" if self.width != 1 else ""
        return f"{self.name}{width}" + (f", pruned at {self.threshold:g}" if self.threshold else "")

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        spec = NetworkSpec(self.name, self.width, 3, 32, 10)
        network = build(spec)
        if not self.threshold:
            return network
        graph, kept = candidates(network, spec, self.threshold, 1)
        return prune(network, graph, kept[0])


CASES = {
    "cpu": (Case("resnet18", width=0.25), Case("resnet20"), Case("vgg16", threshold=0.6)),
    "cuda": (Case("resnet18"), Case("vgg16"), Case("resnet56"), Case("vgg16", threshold=0.6)),
}
IN_BOTH = {  # networks whose speed is compared in float32 and in bfloat16
    "cpu": (Case("resnet20", 0.5), Case("vgg11", 0.25), Case("resnet20"), Case("vgg16", 0.5)),
    "cuda": (Case("resnet18"), Case("vgg16"), Case("resnet56")),
}
PRECISIONS = {"cpu": ("float32",), "cuda": ("float32", "tf32", "bfloat16")}
IMAGES = {"cpu": 512, "cuda": EPOCH_IMAGES}  # of a turn
SHARDS = (("vgg16", 0.6), ("resnet18", 0.7), ("resnet56", 0.3))  # with the paper's thresholds
SMALL, SHARD_TURNS = 8, 3  # images of a step; turns


def candidates(network: nn.Module, spec: NetworkSpec, threshold: float, number: int) -> tuple[Graph, dict[int, Kept]]:
    """The graph and the kept channels of `number` random configurations."""
    graph = trace(network, spec.input_shape)
    steps = Space.of(graph, LEVELS, threshold).sample(number, 0, 1)
    order = l1_order(network, graph)
    return graph, {candidate: kept_of(row, order, graph, LEVELS) for candidate, row in enumerate(steps)}


def noise(images: int) -> Splits:
    """Images of CIFAR-10's shape."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), generator=generator, dtype=torch.uint8)
    part = ImageSet(pixels, torch.randint(0, 10, (images,), generator=generator))
    return Splits(part, part, part, torch.full((3,), 0.5), torch.full((3,), 0.25), "noise")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def best_of_turns(ways: Mapping[str, Callable[[], object]], turns: int, device: torch.device) -> dict[str, float]:
    """Seconds of the best turn of each way; a first turn of each is for warming up."""
    rounds = [{name: seconds(work, device) for name, work in ways.items()} for _ in range(turns + 1)]
    return {name: min(turn[name] for turn in rounds[1:]) for name in ways}


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), RECIPE.lr, RECIPE.momentum, 0, RECIPE.weight_decay, fused=True)


def ours(network: nn.Module, splits: Splits, engine: Engine) -> Callable[[], object]:
    """An epoch of our loop."""
    source = batches_of(splits, RECIPE, next(network.parameters()).device)
    return lambda: train(network, splits, RECIPE, 0, "ours", engine, source=source)


def limit(network: nn.Module, splits: Splits, engine: Engine, steps: int) -> Callable[[], object]:
    """Steps on one batch that lies on the device: no data, no metrics, no schedule."""
    network = network.to(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    batch, optimizer = next(batches_of(splits, RECIPE, device).epoch(0, 0)), sgd(network)

    def work() -> None:
        with arithmetic(engine, device):
            for _ in range(steps):
                with torch.autocast(device.type, torch.bfloat16, enabled=engine.precision == "bfloat16"):
                    logits = network(batch.images)
                nn.functional.cross_entropy(logits.float(), batch.labels).backward()
                optimizer.step()
                optimizer.zero_grad()

    return work


class Pictures(Dataset):
    """Images as torchvision's CIFAR10 gives them."""

    def __init__(self, data: ImageSet, transform: Callable) -> None:
        self.pixels, self.labels, self.transform = data.images.permute(0, 2, 3, 1).numpy(), data.labels, transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[number])), int(self.labels[number])


def plain(network: nn.Module, splits: Splits, engine: Engine, workers: int) -> Callable[[], object]:
    """An epoch of the usual loop: transforms of single images in worker processes, metrics by `.item()`."""
    device, optimizer = next(network.parameters()).device, sgd(network)
    augment = (transforms.RandomCrop(32, padding=RECIPE.crop_padding), transforms.RandomHorizontalFlip())
    to_floats = (transforms.ToTensor(), transforms.Normalize(splits.mean.tolist(), splits.std.tolist()))
    loader = DataLoader(
        Pictures(splits.train, transforms.Compose([*augment, *to_floats])), RECIPE.batch_size, shuffle=True,
        num_workers=workers, persistent_workers=workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip

    def work() -> None:
        loss_sum, correct = 0.0, 0
        network.train()
        with arithmetic(engine, device):
            for images, labels in loader:
                images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
                optimizer.zero_grad()
                with torch.autocast(device.type, torch.bfloat16, enabled=engine.precision == "bfloat16"):
                    logits = network(images)
                    loss = nn.functional.cross_entropy(logits, labels)
                loss.backward()
                optimizer.step()
                loss_sum += loss.item() * len(labels)
                correct += (logits.argmax(1) == labels).sum().item()

    return work


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    print()
    row(*cells)
    row(*["---"] * len(cells))


def print_rates(options: argparse.Namespace) -> None:
    """Images per second of the three ways."""
    splits = noise(options.images)
    steps = options.images // RECIPE.batch_size
    head("network", "precision", "plain", "ours", "limit", "ours : plain", "ours : limit", "s per 50,000 images")
    for case in CASES[options.device.type]:
        network = case.build().to(options.device)
        for precision in PRECISIONS[options.device.type]:
            engine = Engine(precision)
            ways = {
                "plain": plain(copy.deepcopy(network), splits, engine, options.workers),
                "ours": ours(copy.deepcopy(network), splits, engine),
                "limit": limit(copy.deepcopy(network), splits, engine, steps),
            }
            best = best_of_turns(ways, options.turns, options.device)
            images = {"plain": options.images, "ours": options.images, "limit": steps * RECIPE.batch_size}
            usual, own, most = (images[name] / best[name] for name in ways)
            ratios = (f"{own / usual:.2f}", f"{own / most:.3f}", f"{EPOCH_IMAGES / own:.1f}")
            row(case, precision, *(f"{rate:,.0f}" for rate in (usual, own, most)), *ratios)


def print_precisions(options: argparse.Namespace) -> None:
    """Bare steps and our loop in bfloat16, each against bare steps in float32."""
    splits, steps = noise(options.images), options.images // RECIPE.batch_size
    head(
        "network", "limit, float32", "limit, bfloat16", "ours, float32", "ours, bfloat16",
        *(f"{way} : limit, float32" for way in ("limit, bfloat16", "ours, float32", "ours, bfloat16")),
    )  # fmt: skip
    for case in IN_BOTH[options.device.type]:
        network = case.build().to(options.device)
        exact, half = Engine("float32"), Engine("bfloat16")
        ways = {
            "limit, float32": limit(copy.deepcopy(network), splits, exact, steps),
            "limit, bfloat16": limit(copy.deepcopy(network), splits, half, steps),
            "ours, float32": ours(copy.deepcopy(network), splits, exact),
            "ours, bfloat16": ours(copy.deepcopy(network), splits, half),
        }
        best = best_of_turns(ways, options.turns, options.device)
        images = {name: options.images if "ours" in name else steps * RECIPE.batch_size for name in ways}
        first, *others = rates = [images[name] / best[name] for name in ways]
        row(case, *(f"{rate:,.0f}" for rate in rates), *(f"{rate / first:.2f}" for rate in others))


def print_determinism(options: argparse.Namespace) -> None:
    """Our loop with and without deterministic arithmetic."""
    splits = noise(options.images)
    head("network", "deterministic (images/s)", "not deterministic (images/s)", "ratio")
    for case in CASES[options.device.type]:
        network = case.build().to(options.device)
        ways = {str(flag): ours(copy.deepcopy(network), splits, Engine(deterministic=flag)) for flag in (True, False)}
        best = best_of_turns(ways, options.turns, options.device)
        yes, no = (options.images / best[name] for name in ways)
        row(case, f"{yes:,.0f}", f"{no:,.0f}", f"{yes / no:.3f}")


def print_saving(options: argparse.Namespace) -> None:
    """One save of the state of a ResNet-56, and its share of the time at the default period."""
    head("network", "state (MB)", "one save (s)", f"share at {SAVE_SECONDS} s (%)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.pt"
        sidecar = Sidecar(path, period_seconds=0)
        train(Case("resnet56").build().to(options.device), noise(256), RECIPE, 0, "saved", sidecar=sidecar)
        saving = best_of_turns({"save": sidecar.save}, 10, options.device)["save"]
        row("resnet56", f"{path.stat().st_size / 1e6:.1f}", f"{saving:.3f}", f"{100 * saving / SAVE_SECONDS:.2f}")


def pure_seconds(network: nn.Module, splits: Splits) -> dict[str, float]:
    """Seconds of one step on a batch of `splits` and of one evaluation, both warmed up."""
    ways = {"step": limit(network, splits, EXACT, 1), "evaluation": partial(evaluate, network, splits)}
    return best_of_turns(ways, SHARD_TURNS, next(network.parameters()).device)


def evaluate(network: nn.Module, splits: Splits) -> float:
    return accuracy_percent(network, splits.validation, splits)


def print_switching(options: argparse.Namespace) -> None:
    """What a shard of candidates costs beside steps and evaluations: preparing, pruning, warming up.

    Every candidate takes one step on `SMALL` images and evaluates as many, so that little is subtracted; the images of
    CIFAR-10 are prepared, and one epoch's order of them drawn, beside it.
    """
    number, device, splits = options.candidates, options.device, noise(SMALL)
    recipe = replace(RECIPE, batch_size=SMALL)
    images = noise(TRAINING_IMAGES)
    whole = batches_of(images, RECIPE, device)
    head(
        "shard", "candidates", "in all (s)", "steps (s)", "evaluations (s)",
        f"preparing {TRAINING_IMAGES:,} images (s)", "beside them, per candidate (s)",
    )  # fmt: skip
    for name, threshold in SHARDS:
        spec = NetworkSpec(name, 1.0, 3, 32, 10)
        torch.manual_seed(0)
        network = build(spec)
        graph, kept = candidates(network, spec, threshold, number)
        shard = {
            "in all": partial(
                tune_candidates, network, graph, kept, splits, recipe, 0, device, Calibration(splits, 0, 0)
            ),
            "preparing": partial(batches_of, images, RECIPE, device),
            "order": lambda: next(whole.epoch(0, 0)),
        }
        best = best_of_turns(shard, SHARD_TURNS, device)
        pure = [pure_seconds(prune(network, graph, channels).to(device), splits) for channels in kept.values()]
        steps, evaluations = (sum(each[name] for each in pure) for name in ("step", "evaluation"))
        beside = (best["in all"] - steps - evaluations + best["preparing"]) / number + best["order"]
        times = (best["in all"], steps, evaluations, best["preparing"])
        row(f"{name} at {threshold:g}", number, *(f"{value:.2f}" for value in times), f"{beside:.3f}")


def print_compiled(options: argparse.Namespace) -> None:
    """Bare steps with and without torch.compile, which our loop does not use."""
    splits, steps = noise(options.images), options.images // RECIPE.batch_size
    head("network", "eager (images/s)", "compiled (images/s)", "ratio", "compiling (s)")
    for case in CASES[options.device.type]:
        network = case.build().to(options.device)
        eager, compiled = limit(copy.deepcopy(network), splits, EXACT, steps), copy.deepcopy(network)
        compiled.compile()
        compiled_steps = limit(compiled, splits, EXACT, steps)
        compiling = seconds(compiled_steps, options.device)
        best = best_of_turns({"eager": eager, "compiled": compiled_steps}, options.turns, options.device)
        rates = {name: steps * RECIPE.batch_size / best[name] for name in best}
        ratio = rates["compiled"] / rates["eager"]
        row(case, *(f"{rate:,.0f}" for rate in rates.values()), f"{ratio:.2f}", f"{compiling - best['compiled']:.0f}")


TABLES = {
    "rates": print_rates,
    "precisions": print_precisions,
    "determinism": print_determinism,
    "saving": print_saving,
    "switching": print_switching,
    "compiled": print_compiled,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--device", type=torch.device, default=device)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a training")
    parser.add_argument("--workers", type=int, default=min(8, max(1, cores - 1)), help="of the torchvision loader")
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--images", type=int, help="images of a turn")
    parser.add_argument("--candidates", type=int, default=25, help="of a shard")
    tables = [name for name in TABLES if name != "compiled"]  # takes a C++ compiler and minutes
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=tables)
    options = parser.parse_args()
    options.images = options.images or IMAGES[options.device.type]
    torch.set_num_threads(options.threads)
    print(f"{options.device}, torch {torch.__version__}, {options.threads} threads, {options.workers} loader workers")
    for name in options.tables:
        TABLES[name](options)


if __name__ == "__main__":
    main()
