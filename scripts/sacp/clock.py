"""What a job has taken: clock time since its process started, imports and all."""

import time
from datetime import UTC, datetime

import psutil


def process_started() -> str:
    """When this process started, ISO 8601 in UTC."""
    return datetime.fromtimestamp(psutil.Process().create_time(), UTC).isoformat(timespec="milliseconds")


def process_seconds() -> float:
    """Seconds since this process started."""
    return time.time() - float(psutil.Process().create_time())
