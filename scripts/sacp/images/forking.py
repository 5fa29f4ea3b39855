"""Forked processes that cannot hang at their start, nor outlive the process that forked them.

A child has a copy of every lock and none of the threads that held them. CPython 3.11 itself takes a lock in each child
before any code runs (the list of thread states, which a thread of C++ such as gloo's may have held), and then waits
forever. So a child reports that it has started; one that does not is killed and forked again.
"""

import logging
import os
from multiprocessing import connection, context, popen_fork
from multiprocessing.process import BaseProcess
from typing import Any

from sacp.compute import mortal

log = logging.getLogger(__name__)
BORN_WITHIN = 30.0  # seconds
ATTEMPTS = 5


class _Process(context.ForkProcess):
    birth = -1  # where the child reports its start: a file descriptor
    _parent_pid: int  # set by multiprocessing

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> popen_fork.Popen:  # noqa: N802 (multiprocessing's name)
        assert isinstance(process_obj, _Process)
        for _ in range(ATTEMPTS):
            born, process_obj.birth = os.pipe()
            child = popen_fork.Popen(process_obj)
            os.close(process_obj.birth)
            said = connection.wait([born], BORN_WITHIN)
            os.close(born)
            if said:
                return child
            log.warning("a process that was forked %g s ago does not run; it is forked again", BORN_WITHIN)
            child.kill()
            child.wait()
        raise RuntimeError(f"{ATTEMPTS} forked processes in turn did not run within {BORN_WITHIN:g} s each")

    def _bootstrap(self, *args: Any, **kwargs: Any) -> int:
        """In the child, the first of its own code."""
        mortal.die_with(self._parent_pid)
        os.write(self.birth, b"born")
        os.close(self.birth)
        code: int = super()._bootstrap(*args, **kwargs)  # type: ignore[misc]
        return code


class Fork(context.ForkContext):
    """multiprocessing's start method `fork`, whose processes run or are forked again."""

    Process = _Process
