"""When processes started, and whether they are still there; what a job has taken, imports and all. Linux."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

STATE_FIELD, START_FIELD = 3, 22  # of proc_pid_stat(5); the start is counted in clock ticks after boot
ENDED = ("Z", "X")  # states of a process that runs no more, though nobody has asked how it ended


def process_seconds() -> float:
    """Seconds since this process started, to a hundredth."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks(os.getpid()) / os.sysconf("SC_CLK_TCK")


def process_started() -> str:
    """When this process started, ISO 8601 in UTC."""
    return (datetime.now(UTC) - timedelta(seconds=process_seconds())).isoformat(timespec="milliseconds")


def start_ticks(pid: int) -> int:
    """When a process of this machine started, in clock ticks after boot."""
    return int(_field(pid, START_FIELD))


def runs(pid: int, started: int) -> bool:
    """Whether the process with this number that started at this tick is there; True if others' cannot be seen."""
    try:
        return start_ticks(pid) == started and _field(pid, STATE_FIELD) not in ENDED
    except OSError:
        return _exists(pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, where /proc shows a user no other's
        return True
    return True


def _field(pid: int, number: int) -> str:
    # The second field is the name in parentheses, which may hold spaces.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[number - 3]
