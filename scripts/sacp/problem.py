"""What a config says about a network, its images and its weights; read while jobs are planned, so without torch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGE_FOLDER = "imagefolder"  # the data source of image files
IMAGE_SIZE = 224  # pixels of its images, where a config gives no other
FIGURES = (
    "method", "sweeps", "encoder_loss", "scores", "responses", "embedding", "kept_channels", "accuracy_flops",
    "learning_curves",
)  # fmt: skip
ENCODER = "encoder"  # the score of a search that has an encoder; all others are closed forms
LOG_MASS = "log-mass"  # the closed form that is weighted, and the only one that is searched exactly
SAMPLE = "sample"  # the search over the sample that all methods share; others find candidates of their own
OF_ENCODERS = ("encoder_loss", "embedding")  # figures that need an encoder
LOOK_AT_IMAGES = frozenset({"hrank", "thinet"})  # of the criteria of baselines; others look at weights
WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt")


def problem_shape(dataset: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, image size in pixels and number of classes of an entry of the config's `datasets`."""
    if dataset["source"] == IMAGE_FOLDER:
        return 3, dataset.get("image_size", IMAGE_SIZE), dataset["classes"]
    return (1, 8, 10) if dataset["source"] == "digits" else (3, 32, 10)


def network_settings(experiment: Mapping[str, Any], datasets: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `networks.NetworkSpec` for an experiment."""
    channels, size, classes = problem_shape(datasets[experiment["dataset"]])
    network = experiment["network"]
    shape = {"in_channels": channels, "image_size": size, "num_classes": classes}
    return {"name": network["name"], "width": network["width"], **shape}


def labelled(method: Mapping[str, Any], refine: Mapping[str, Any]) -> int:
    """Candidates of a search that are tuned before the others are ranked anew, whole shards; 0 if none are."""
    size, m = int(refine["shard_size"]), int(refine["top_m"])
    shards: int = -(-math.ceil(method.get("rerank", 0) * m) // size)
    return shards * size


def is_weights_file(weights: str | Path) -> bool:
    """Whether `weights` means a file; otherwise it is a name of torchvision's."""
    return Path(weights).suffix in WEIGHTS_SUFFIXES
