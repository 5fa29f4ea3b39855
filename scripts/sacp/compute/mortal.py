"""Processes that do not outlive the one that started them, however that one ends. Linux; elsewhere they may.

As a program this module asks for it and becomes another program, in some 15 ms and before that one imports anything:
`python mortal.py PARENT PROGRAM ARGUMENT...`. It imports nothing of the library.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>; it stays when a process becomes another program


def command(*program: str) -> list[str]:
    """The command line of a program that ends with this process; the thread that starts it has to wait for it."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *program]


def die_with(parent: int) -> None:
    """Ask to be killed when the process `parent`, which has started this one, ends; if it has ended, end now."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # nothing is sent for a parent that had ended before
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
