"""What Snakemake itself takes, measured by a miniature workflow of a few empty jobs in a row."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sacp.compute import mortal
from sacp.errors import InputError, one_line

JOBS = 4
SNAKEFILE = f"""
rule all:
    input: "{JOBS - 1}"
rule step:
    input: lambda wildcards: str(int(wildcards.number) - 1) if wildcards.number != "0" else []
    output: "{{number}}"
    wildcard_constraints: number="[0-9]+"
    script: "step.py"
"""
STEP = "import time\nfrom pathlib import Path\nPath(snakemake.output[0]).write_text(str(time.time()))\n"


@dataclass(frozen=True)
class Overhead:
    """Seconds that Snakemake takes on this machine besides what the scripts do."""

    start: float  # until its first job starts
    job: float  # of a job whose script does nothing


def overhead() -> Overhead:
    """Run the miniature workflow; `InputError` if Snakemake cannot."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
    options = ["--cores", "1", "--profile", "none", "--workflow-profile", "none"]
    command = mortal.command(sys.executable, "-m", "snakemake", *options)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "step.py").write_text(STEP)
        started = time.time()
        try:
            subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise InputError(f"snakemake cannot run an empty workflow: {one_line(Exception(error.stderr))}") from None
        ends = [float((folder / str(number)).read_text()) for number in range(JOBS)]
    job = (ends[-1] - ends[0]) / (JOBS - 1)
    return Overhead(max(0.0, ends[0] - started - job), job)
