"""A forked process that hangs at its birth is replaced by another."""

import os
import time

import pytest
from orphans import left_by
from sacp.images import forking


def answer(queue) -> None:
    queue.put(os.getpid())


def hang_at_birth(monkeypatch, number: int) -> list[int]:
    """Let the first `number` forked children wait in `fork`; returns the list of all children."""
    children, fork = list[int](), os.fork

    def hanging() -> int:
        hangs = len(children) < number
        child = fork()
        if child == 0 and hangs:
            time.sleep(600)
        children.append(child)
        return child

    monkeypatch.setattr(os, "fork", hanging)
    return children


def test_a_child_that_hangs_is_forked_again(monkeypatch, caplog) -> None:
    monkeypatch.setattr(forking, "BORN_WITHIN", 0.5)
    children, fork = hang_at_birth(monkeypatch, 2), forking.Fork()
    queue = fork.SimpleQueue()
    process = fork.Process(target=answer, args=(queue,))
    process.start()
    assert queue.get() == process.pid == children[2]
    process.join()
    assert process.exitcode == 0
    assert caplog.text.count("it is forked again") == 2
    for child in children[:2]:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_children_that_all_hang_are_an_error(monkeypatch) -> None:
    monkeypatch.setattr(forking, "BORN_WITHIN", 0.1)
    children, fork = hang_at_birth(monkeypatch, 99), forking.Fork()
    with pytest.raises(RuntimeError, match="5 forked processes in turn did not run"):
        fork.Process(target=answer, args=(None,)).start()
    assert len(children) == forking.ATTEMPTS


def test_a_child_that_dies_at_once_is_not_waited_for() -> None:
    fork, started = forking.Fork(), time.monotonic()
    process = fork.Process(target=os._exit, args=(3,))
    process.start()
    process.join()
    assert process.exitcode == 3
    assert time.monotonic() - started < forking.BORN_WITHIN


PARENT = """
import time
from sacp.images.forking import Fork
processes = [Fork().Process(target=time.sleep, args=(600,)) for _ in range(2)]
for process in processes:
    process.start()
time.sleep(600)
"""


def test_children_end_with_the_process_that_forked_them(tmp_path) -> None:
    assert left_by(tmp_path, PARENT, 2) == []
