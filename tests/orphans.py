"""Who is left when a process is killed that has started others."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from checkout import ROOT

SECONDS = 10.0  # after which nothing may be left


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; the dead that nobody has asked for do not."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def left(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Wait until none of them runs, or for ten seconds: those that run then."""
    processes, end = list(processes), time.monotonic() + SECONDS
    while alive(processes) and time.monotonic() < end:
        time.sleep(0.02)
    return alive(processes)


def left_by(folder: Path, code: str, number: int) -> list[psutil.Process]:
    """Run Python code until it has started `number` processes, and kill it: those of them that are left.

    The code is a script in `folder`, where it also finds modules.
    """
    script = folder / "parent.py"
    script.write_text(code)
    paths = os.pathsep.join(str(path) for path in (ROOT / "scripts", ROOT / "tests", folder))
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen([sys.executable, str(script)], env=environment) as parent:
        started, end = list[psutil.Process](), time.monotonic() + 60
        while len(started) < number:
            assert parent.poll() is None
            assert time.monotonic() < end
            started = psutil.Process(parent.pid).children(recursive=True)
            time.sleep(0.001)
        parent.kill()
    remaining = left(started)
    for process in remaining:
        process.kill()
    return remaining
