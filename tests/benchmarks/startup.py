"""What of the demo's CPU seconds is work, and what is the start and end of its jobs. `make bench-start` runs it.

Work is what passes inside the jobs' blocks, from reading the inputs to writing the record, on one thread each; their
logs say how long. The rest is Snakemake, Python's start and end, and imports.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dag import ROOT, copied

COMMAND = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--configfile", "config/demo.yaml"]


def cpu_seconds() -> float:
    """CPU seconds of all children that have ended, and of theirs."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    """Run the demo in a copy of this checkout and print one row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        started = time.monotonic()
        subprocess.run(COMMAND, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall, total = time.monotonic() - started, cpu_seconds()
        logs = [path.read_text() for path in (folder / "results/demo/logs").rglob("*.log")]
    done = [float(seconds) for text in logs for seconds in re.findall(r"done in ([\d.]+) s$", text, re.MULTILINE)]
    work, rest = sum(done), total - sum(done)
    print(f"checkout: {ROOT.name}, {len(done)} jobs")
    print("| wall (s) | CPU (s) | work (s) | rest (s) | rest per job (s) | rest : work |\n|---|---|---|---|---|---|")
    print(f"| {wall:.0f} | {total:.0f} | {work:.0f} | {rest:.0f} | {rest / len(done):.2f} | {rest / work:.2f} |")


if __name__ == "__main__":
    main()
