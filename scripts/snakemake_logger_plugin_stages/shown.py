"""Where a run is shown: as plain lines."""

import time
from typing import TextIO

from snakemake_logger_plugin_stages.counts import Counts, Stage
from snakemake_logger_plugin_stages.words import numbers, stage_cells, stage_name, whole_cells

SECONDS = 30  # between two lines of a stage


class PlainLines:
    """Lines for files and pipes. A stage has one when it begins, when it ends, and every 30 s in which it advances."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._told: dict[str, float] = {}  # when a stage last had a line

    def start(self, counts: Counts) -> None:
        """The first job is about to begin."""
        self.say(f"{time.strftime('%H:%M:%S')} {numbers(counts.whole())} jobs")

    def advanced(self, stage: Stage, counts: Counts) -> None:
        """A job of a stage has begun or is done."""
        now = counts.clock()
        due = now - self._told.get(stage.rule, -SECONDS) >= SECONDS
        if not (stage.is_over or due):
            return
        self._told[stage.rule] = now
        name, *cells = stage_cells(stage, counts)
        _, done, _, _, left = whole_cells(counts)
        here = ", ".join(cell for cell in cells if cell)
        rest = ", ".join(cell for cell in (done, left) if cell)
        self.say(f"{time.strftime('%H:%M:%S')} {stage_name(name)}: {here}; all {rest}")

    def say(self, text: str, style: str = "") -> None:
        """Write lines that stay; `style` is a colour on a terminal."""
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def stop(self) -> None:
        """The run has ended."""
