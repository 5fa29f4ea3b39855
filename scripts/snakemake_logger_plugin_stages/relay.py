"""What jobs write to the terminal, taken up line by line: otherwise it would tear the lines that are written over."""

import os
import sys
import threading
from collections.abc import Callable

SECONDS = 2  # to wait at the end for processes that still hold the terminal


class Relay:
    """Stands between this process's stdout and stderr, its children's too, and the terminal."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Begin; each line is passed to `say`, from a thread of its own. Only what is a terminal is taken."""
        self._say, self._taken = say, {number: os.dup(number) for number in (1, 2) if os.isatty(number)}
        reading, writing = os.pipe()
        for number in self._taken:
            os.dup2(writing, number)
        os.close(writing)
        self._thread = threading.Thread(target=self._pass_on, args=(reading,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the terminal back; lines that were written until now are passed on."""
        sys.stdout.flush()
        sys.stderr.flush()
        for number, terminal in self._taken.items():
            os.dup2(terminal, number)
            os.close(terminal)
        self._thread.join(SECONDS)

    def _pass_on(self, reading: int) -> None:
        with os.fdopen(reading, errors="replace", newline="\n") as pipe:
            for line in pipe:
                # Of a line that was written over, its last state.
                if text := line.rstrip("\r\n").rpartition("\r")[2]:
                    self._say(text)
