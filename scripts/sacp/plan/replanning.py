"""What was planned behind a job that turns out not to run need not run either.

When a checkpoint is done, Snakemake looks again at the jobs that depend on it, and drops those whose inputs came out as
they were. It does not look again at what it planned behind a dropped job, which runs although nothing has changed, and
a checkpoint there is never resolved for the jobs that wait for it. Both are mended here, in the plan itself, and not
rule by rule. Seen in Snakemake 9.27 (`DAG.update_needrun`, `DAG.update_checkpoint_dependencies`), whose private fields
this module reads; a test shows that it is still needed. What ends the planning is worded here too.
"""

import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import snakemake.api  # noqa: F401 - first, as its other modules import one another
from snakemake import exceptions, rules, workflow
from snakemake.dag import DAG
from snakemake.exceptions import InputFunctionException, ProtectedOutputException, WorkflowError, format_error

from sacp.errors import InputError
from sacp.plan.recorded import RecallingPersistence


def install(planned: Callable[[Iterable[Any]], None] | None = None) -> None:
    """Let Snakemake plan with what stands here. Called while a Snakefile is read, before its plan is made.

    `planned` is told of each plan the jobs that are still to run.
    """
    ReplanningDAG.planned = [planned] if planned else []
    workflow.DAG, rules.InputFunctionException = ReplanningDAG, RefusedError
    workflow.FilePersistence = RecallingPersistence
    exceptions.format_error = _worded


class RefusedError(InputFunctionException):  # type: ignore[misc]
    """An input function failed: by what a user can mend, which is shown in one line, or by a defect."""

    __traceback__ = None  # Snakemake would show it below

    def __init__(self, error: Exception, **place: Any) -> None:
        self.is_mistake = isinstance(error, InputError)
        if self.is_mistake:
            WorkflowError.__init__(self, str(error))
        else:
            super().__init__(error, **place)


def _worded(error: Exception, *arguments: Any, **settings: Any) -> str:
    """An exception in Snakemake's words, which begin with its class; a user's mistake as all others of theirs."""
    if isinstance(error, RefusedError) and error.is_mistake:
        return f"error: {error}"
    return str(format_error(error, *arguments, **settings))


class ReplanningDAG(DAG):  # type: ignore[misc]
    """Snakemake's plan, in which a reason to run holds only as long as the job that gave it runs."""

    planned: ClassVar[list[Callable[[Iterable[Any]], None]]] = []  # told of each plan

    async def update_needrun(self, *args: Any, **settings: Any) -> None:
        """Find what must run, with reasons of now: of jobs that neither run nor are done, older ones are dropped.

        A job that has run stays a reason for those behind it.
        """
        started = {job for running in self._running for job in (running if running.is_group() else [running])}
        for job in set(self.jobs) - started - self._finished:
            reason = self.reason(job)
            ran = {file for done, files in self._dependencies[job].items() if done in self._finished for file in files}
            stays = reason.updated_input_run & ran
            reason.clear()
            reason.updated_input_run.update(stays)
        await super().update_needrun(*args, **settings)

    async def finish(self, *args: Any, **settings: Any) -> bool:
        """Note that a job is done, and delete the temporary files that no planned job needs any more.

        Snakemake keeps them until all checkpoints are done, as what one finds might ask for them; here none does.
        """
        ready: bool = await super().finish(*args, **settings)
        while self._deferred_temp_jobs:
            await self.handle_temp(self._deferred_temp_jobs.pop())
        return ready

    async def check_jobs(self) -> None:
        """Check what is planned; an output that may not be overwritten is told in one line."""
        try:
            await super().check_jobs()
        except ProtectedOutputException as error:
            locked = [file for job in self.needrun_jobs() for file in job.output if await file.protected()]
            if not locked:
                raise
            mode = stat.S_IMODE(Path(locked[0]).stat().st_mode)
            found = f"{locked[0]}: has to be made again and may not be overwritten (mode {mode:03o})"
            more = f", and {len(locked) - 1} more" if len(locked) > 1 else ""
            raise RefusedError(InputError(f"{found}{more}; make it writable, or delete it")) from error

    async def update_checkpoint_dependencies(self, jobs: Iterable[Any] | None = None) -> bool:
        """Plan again what depends on these checkpoints, and on others that need not run any more because of it."""
        updated, due, is_initial = False, set[str](), jobs is None
        while jobs is None or jobs:
            due |= _outputs(self.checkpoint_jobs)
            updated |= await super().update_checkpoint_dependencies(jobs)
            dropped = due - _outputs(self.checkpoint_jobs)
            due -= dropped
            jobs = [job for job in self.jobs if job.is_checkpoint and dropped & {*job.output} and await _is_made(job)]
        if updated and not is_initial:
            self._tell()
        return updated

    async def postprocess(self, *args: Any, check_initial: bool = False, **settings: Any) -> None:
        """Complete a plan; the first one, of which `--until` has left its part by then, is told."""
        await super().postprocess(*args, check_initial=check_initial, **settings)
        if check_initial:
            self._tell()

    def _tell(self) -> None:
        for planned in self.planned:
            planned(self.needrun_jobs())


async def _is_made(job: Any) -> bool:
    return all([await file.exists() for file in job.output])


def _outputs(jobs: Iterable[Any]) -> set[str]:
    return {file for job in jobs for file in job.output}
