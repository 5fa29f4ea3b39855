"""`snakemake --logger stages`: a line for every stage of a run instead of twenty lines for every job.

On a terminal the lines are kept up to date in place; elsewhere one is written when a stage begins, ends, or has
advanced for some time. What failed is shown at once, with the reason from the job's log. Snakemake's own log file holds
all that its default output would have.

Dry runs, `--verbose`, `--debug-dag` and `--logger-stages-each-job` have Snakemake's default output. `--quiet` leaves
out the stages, `--quiet all` also what is no error; `--printshellcmds` shows commands as ever.
"""

import logging
import os
import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_stages.report import Report
from snakemake_logger_plugin_stages.shown import PlainLines

# Set for jobs: what they write to stderr is seen here, so that only what is no repetition of their log should be.
JOBS_ARE_SHOWN = "SACP_JOBS_ARE_SHOWN"


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Options of the command line, which begin with `--logger-stages-`."""

    each_job: bool = field(
        default=False, metadata={"help": "Show each job, as Snakemake does by itself.", "env_var": False}
    )


class LogHandler(LogHandlerBase):
    """What Snakemake makes of this plugin: passes its records on to a report, or to Snakemake's default output."""

    def __post_init__(self) -> None:
        settings, own = self.common_settings, self.settings
        each_job = isinstance(own, LogHandlerSettings) and own.each_job
        stream = sys.stdout if settings.stdout else sys.stderr
        self._goes_to: logging.Handler | Report
        if each_job or settings.dryrun or settings.verbose or settings.debug_dag:
            self._goes_to = default_output(settings, stream)
            return
        os.environ[JOBS_ARE_SHOWN] = "1"
        self._goes_to = Report(shown_on(stream, settings.nocolor), settings)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record; one that cannot be is told with its traceback."""
        try:
            self._goes_to.handle(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """End the display, and say how the run went."""
        self._goes_to.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's default output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake's own log file stays as it is."""
        return False

    @property
    def has_filter(self) -> bool:
        """All records are wanted, also of what is not shown."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Records are worded here."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Stages are shown in the order in which they begin."""
        return False


def is_terminal(stream: TextIO) -> bool:
    """Whether lines of a stream can be written over."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def shown_on(stream: TextIO, no_color: bool) -> PlainLines:
    """Where a run is shown."""
    if not is_terminal(stream):
        return PlainLines(stream)
    from snakemake_logger_plugin_stages.terminal import Terminal  # rich is loaded where it is used

    return Terminal(stream, no_color)


def default_output(settings: Any, stream: TextIO) -> logging.Handler:
    """Snakemake's own handler, as it is without a plugin."""
    from snakemake import logging as theirs  # not above: it looks for plugins while it is loaded

    handler: logging.Handler = theirs.ColorizingTextHandler(nocolor=settings.nocolor, stream=stream)
    handler.setFormatter(theirs.DefaultFormatter(settings.quiet, settings.show_failed_logs))
    handler.addFilter(
        theirs.DefaultFilter(
            settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
        )
    )
    return handler
