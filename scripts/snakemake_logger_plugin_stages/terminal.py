"""Where a run is shown: on a terminal, with lines that are kept up to date in place."""

import os
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from snakemake_logger_plugin_stages.counts import Counts, Stage
from snakemake_logger_plugin_stages.relay import Relay
from snakemake_logger_plugin_stages.shown import PlainLines
from snakemake_logger_plugin_stages.words import stage_cells, whole_cells

PER_SECOND = 2  # how often lines are made anew


class Terminal(PlainLines):
    """A line for each stage that has begun, one for those that have not, and one for the whole.

    Stages that are over, and all messages, stay above. What jobs write to the terminal goes there too.
    """

    def __init__(self, stream: TextIO, no_color: bool) -> None:
        super().__init__(stream)
        # A stream of its own: the terminal itself, whatever stderr becomes for jobs.
        self._stream = os.fdopen(os.dup(stream.fileno()), "w")
        self.console = Console(file=self._stream, force_terminal=True, no_color=no_color, highlight=False)
        self._live: Live | None = None
        self._relay: Relay | None = None
        self._counts: Counts | None = None
        self._over: set[str] = set()

    def start(self, counts: Counts) -> None:
        """Show the lines from now on."""
        self._counts = counts
        self._relay = Relay(self.say)
        self._live = Live(
            get_renderable=self._table, console=self.console, refresh_per_second=PER_SECOND, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._live.start()
        self.console.show_cursor(True)  # it would stay hidden if Snakemake were killed

    def advanced(self, stage: Stage, counts: Counts) -> None:
        """Leave a line of a stage that is over; the others are made anew anyway."""
        if stage.is_over and stage.rule not in self._over:
            name, done, _, passed, _ = stage_cells(stage, counts)
            self.say(f"{name}: {done} in {passed}", "green")
        (self._over.add if stage.is_over else self._over.discard)(stage.rule)

    def say(self, text: str, style: str = "") -> None:
        """Write above the lines that are kept up to date."""
        self.console.print(Text.from_ansi(text, style=style), soft_wrap=True)

    def stop(self) -> None:
        """Take the lines away."""
        if self._relay:
            self._relay.stop()
        if self._live:
            self._live.stop()
        self._relay = self._live = None

    def _table(self) -> Table:
        """The lines as they are now; as many as the terminal has room for. Called by a thread of rich's."""
        assert self._counts is not None
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "right", "left", "right", "left"):
            table.add_column(justify=justify, no_wrap=True)
        with self._counts.lock:
            self._fill(table, self._counts)
        return table

    def _fill(self, table: Table, counts: Counts) -> None:
        stages = list(counts.stages.values())
        begun = [stage for stage in stages if stage.began is not None and not stage.is_over]
        begun.sort(key=lambda stage: not stage.running)
        for stage in begun[: max(1, self.console.height - 4)]:
            table.add_row(*stage_cells(stage, counts), style="" if stage.running else "dim")
        later = [stage for stage in stages if stage.began is None and stage.total]
        if later:
            table.add_row(f"{len(later)} more stages", str(sum(stage.total for stage in later)), style="dim")
        table.add_row(*whole_cells(counts), style="bold")
