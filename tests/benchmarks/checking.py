"""What it costs to compare what jobs read with the records beside it, as a share of finished runs.

.venv/bin/python tests/benchmarks/checking.py results/demo ...

Every job's inputs are compared once more, in this process and one job after the other, and timed. The run's seconds are
those of its jobs, from the start of their processes to their records.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from sacp.artefacts import lookup
from sacp.artefacts.inputs import checked


def main() -> None:
    """Print a row for each folder of results."""
    print("| run | jobs | files read | GB read | comparing (s) | jobs (s) | share (%) |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for folder in map(Path, sys.argv[1:]):
        records = [lookup.load(path) for path in sorted(folder.rglob(f"*{lookup.SUFFIX}"))]
        spent, jobs, files, size = 0.0, 0.0, 0, 0
        for record in records:
            paths = [Path(path) for path in record["inputs"]]
            results = None if record["rule"] == lookup.READER else Path(record["results"])
            started = time.perf_counter()
            checked(paths, results)
            spent, jobs = spent + time.perf_counter() - started, jobs + record["seconds"]
            files, size = files + len(paths), size + sum(path.stat().st_size for path in paths)
        cells = [f"{files:,}", f"{size / 1e9:.2f}", f"{spent:.2f}", f"{jobs:.0f}", f"{100 * spent / jobs:.2f}"]
        print("|", " | ".join([str(folder), str(len(records)), *cells]), "|")


if __name__ == "__main__":
    main()
