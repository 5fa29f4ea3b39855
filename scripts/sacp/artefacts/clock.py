"""What a job has taken: clock time since its process started, imports and all. Linux."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

START_FIELD = 22  # of proc_pid_stat(5): start after boot in clock ticks


def process_seconds() -> float:
    """Seconds since this process started, to a hundredth."""
    # The second field is the name in parentheses, which may hold spaces.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[START_FIELD - 3]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def process_started() -> str:
    """When this process started, ISO 8601 in UTC."""
    return (datetime.now(UTC) - timedelta(seconds=process_seconds())).isoformat(timespec="milliseconds")
