"""Text of a config that becomes part of a path: what no file can be called, and what would be called as another is."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sacp.artefacts.files import LONGEST_NAME
from sacp.errors import InputError

FOLDERS = ("data", "figures", "logs", "resume", "tables")  # of the results, beside those of experiments
SAMPLE = "sample"  # of a seed, beside those of methods
LONGEST_PATH = 3500  # bytes of a folder's path, so that 4,096 have room for what lies below
WILD = "{}<>"  # what Snakemake takes for a wildcard or a path variable stands between these
SHELLS = re.compile(r"^~|\$")  # not expanded here: a folder would be called so


def check(config: Mapping[str, Any]) -> None:
    """Check the texts of a resolved config that become parts of paths; of names, the schema has checked the letters.

    Raises:
        InputError: one cannot be part of a path, or two would name the same files; names the key.
    """
    _check_folder("pathvars.results", config["pathvars"]["results"])
    for name, dataset in config["datasets"].items():
        _check_text(f"datasets.{name}.path", dataset.get("path", ""))
    for name, experiment in config["experiments"].items():
        _check_free(f"experiments.{name}", name, FOLDERS)
        _check_text(f"experiments.{name}.network.weights", experiment["network"].get("weights", ""))
    jobs: dict[str, str] = {}
    for key, experiment, method in _methods(config["experiments"]):
        _check_free(key, method, (SAMPLE,))
        for seed in config["seeds"]:
            job = f"{experiment}-seed{seed}-{method}"
            if jobs.setdefault(job, key) != key:
                raise InputError(f"{key}: its log is called '{job}', as that of {jobs[job]}; expected another name")


def _methods(experiments: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, experiment and name of all that has a folder of its own below a seed's."""
    for name, experiment in experiments.items():
        yield from ((f"experiments.{name}.methods.{method}", name, method) for method in experiment["methods"])
        for encoder in experiment["predictors"]["encoders"]:
            yield f"experiments.{name}.predictors.encoders.{encoder}", name, encoder


def _check_free(key: str, name: str, taken: tuple[str, ...]) -> None:
    if name in taken:
        raise InputError(f"{key}: '{name}' is a folder of the results already; expected another name")


def _check_folder(key: str, folder: str) -> None:
    """A folder that is made: not the root, not the working folder, and written as Snakemake wants paths."""
    _check_text(key, folder)
    if os.path.normpath(folder) in (".", os.sep, os.sep * 2):
        raise InputError(f"{key}: found {folder!r}, expected a folder for the results alone, such as 'results/mine'")
    if os.path.normpath(folder) != folder:
        raise InputError(f"{key}: found {folder!r}; write it as {os.path.normpath(folder)!r}")


def _check_text(key: str, path: str) -> None:
    """A path that Snakemake takes as it stands, and the file system can hold."""
    if not path.isprintable():
        raise InputError(f"{key}: found {path!r}, which holds a line break or a character that cannot be seen")
    if wild := [mark for mark in WILD if mark in path]:
        raise InputError(f"{key}: found {path!r}; expected a path without '{wild[0]}', which Snakemake would fill in")
    if mark := SHELLS.search(path):
        raise InputError(f"{key}: found {path!r}, in which '{mark[0]}' is not expanded; write the whole path")
    name = max((part.encode() for part in path.split(os.sep)), key=len)
    if len(name) > LONGEST_NAME:
        raise InputError(f"{key}: '{path[:40]}...' holds a name of {len(name)} bytes; expected {LONGEST_NAME} at most")
    if len(os.path.abspath(path).encode()) > LONGEST_PATH:
        raise InputError(f"{key}: '{path[:40]}...' has {len(path)} characters; expected a shorter path")
