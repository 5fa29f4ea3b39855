"""How far a long loop is, in the log: done, rate and time left."""

import logging
import time

log = logging.getLogger(__name__)
SECONDS = 10  # between two lines


class Progress:
    """Counts what is done and logs it, at most every `SECONDS`."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self.started = self.reported = time.monotonic()

    def advance(self, number: int) -> None:
        """Count `number` more as done."""
        self.done, now = self.done + number, time.monotonic()
        if now - self.reported >= SECONDS:
            rate, self.reported = self.done / (now - self.started), now
            left = (self.total - self.done) / rate
            log.info("%s %d/%d, %.0f/s, %.0f s left", self.what, self.done, self.total, rate, left)
