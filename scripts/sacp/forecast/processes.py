"""Processes that measure: started side by side, as jobs would run, they answer one request each."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sacp.compute import mortal
from sacp.errors import InputError, one_line

Answer = dict[str, Any]


@dataclass(frozen=True)
class Idle:
    """Seconds that processes take besides their work."""

    imports: float  # until all were ready
    end: float  # from the last answer until all had ended


def serve(task: Callable[[Mapping[str, Any]], Answer]) -> None:
    """In the child: say that all is imported, take a request with its number of `threads`, answer it."""
    print("ready", flush=True)
    request = json.loads(sys.stdin.readline())
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(request["threads"])
    try:
        answer = task(request)
    except InputError as error:
        answer = {"error": one_line(error)}
    print(json.dumps(answer), flush=True)


def side_by_side(module: str, request: Mapping[str, Any], number: int) -> tuple[Idle, list[Answer]]:
    """Run `number` processes of a module that calls `serve`, all working at the same time.

    The module's name is written in the caller's code, so that the module counts as code of the caller's stage.

    Returns:
        What they took besides the work, and their answers.

    Raises:
        InputError: one of them failed.
    """
    folders = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = mortal.command(sys.executable, "-m", module)
    pipe, started, children = subprocess.PIPE, time.monotonic(), list[subprocess.Popen[str]]()
    try:
        for _ in range(number):
            children.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True))
        for child in children:
            _line(child)
        seconds = time.monotonic() - started
        for child in children:
            _write(child, json.dumps(request))
        answers = [_checked(json.loads(_line(child))) for child in children]
        answered = time.monotonic()
        for child in children:
            child.wait()  # Python takes its time to take torch down
        return Idle(seconds, time.monotonic() - answered), answers
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _write(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise InputError(f"the measurement ended with status {child.wait()}; its message stands above")
    return line


def _checked(answer: Answer) -> Answer:
    if "error" in answer:
        raise InputError(f"the measurement failed: {answer['error']}")
    return answer
