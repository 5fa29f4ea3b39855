"""What Snakemake itself takes on a large run: three networks, many seeds, all methods. `make bench-dag` runs it.

A dry run from nothing, and the pause between two jobs on one core: `write_protocol`, a small job that waits for no
other, runs for every method and seed, and its records say when each started and how long it worked.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "1"]
JOBS = 9  # that the pause is measured over
RECORDS = "results/*/*/*/protocol.provenance.json"
PARTS = ("Snakefile", "rules", "scripts", "config", "envs", "profiles")


def copied(folder: Path) -> None:
    """Copy the workflow."""
    for part in PARTS:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)


def checkout(folder: Path, seeds: int) -> int:
    """Copy the workflow with the paper's config and `seeds` seeds; return the number of experiments."""
    copied(folder)
    config = folder / "config/config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["seeds"] = list(range(seeds))
    config.write_text(yaml.safe_dump(settings))
    return len(settings["experiments"])


def snakemake(folder: Path, *arguments: str) -> tuple[float, str]:
    """Seconds and output of a call of Snakemake."""
    started = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout)
    return time.monotonic() - started, done.stdout


def pause_seconds(folder: Path) -> float:
    """Median seconds from the end of one job's work to the start of the next one's process, over the first jobs."""
    head = subprocess.Popen(
        [*COMMAND, "--until", "write_protocol"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while head.poll() is None and len(list(folder.glob(RECORDS))) < JOBS:
        time.sleep(0.1)
    head.terminate()  # the job that runs ends, and no other starts
    head.wait()
    spans = []
    for path in folder.glob(RECORDS):
        record = json.loads(path.read_text())
        start = datetime.fromisoformat(record["started"]).timestamp()
        spans.append((start, start + record["seconds"]))
    spans.sort()
    return statistics.median(after[0] - before[1] for before, after in pairwise(spans))


def main() -> None:
    """Print a row for each number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 10])
    print("| experiments | seeds | jobs planned | dry run (s) | between two jobs (s) |")
    print("| --- | --- | --- | --- | --- |")
    for seeds in parser.parse_args().seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            experiments = checkout(folder, seeds)
            seconds, output = snakemake(folder, "--dry-run")
            jobs = re.findall(r"^total\s+(\d+)", output, re.MULTILINE)[-1]
            row = f"| {experiments} | {seeds} | {jobs} | {seconds:.1f} | {pause_seconds(folder):.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
