"""What the rules share that needs Snakemake's own objects; the rest is `sacp.plan`."""

import shlex
import signal
from contextlib import suppress
from functools import cache, partial

from snakemake.logging import logger

from sacp.artefacts.digests import code_digests
from sacp.artefacts.files import remove_left_over
from sacp.artefacts.inputs import checked
from sacp.compute import mortal
from sacp.plan import remaining, replanning
from sacp.plan import config as plan_config
from sacp.plan.choices import Choices
from sacp.plan.experiments import Experiments
from sacp.plan.paths import Paths
from sacp.plan.stages import Stages, functions, ordered
from sacp.training import ranking

# A job ends with the Snakemake that started it: a killed one leaves nothing that writes files or holds devices. `exec`
# leaves no shell between them. A job is one program, its script's; what followed it in `shell:` would not run.
shell.prefix("exec " + shlex.join(mortal.command()).replace("{", "{{").replace("}", "}}"))
with suppress(ValueError):  # outside the main thread, as in a program that calls Snakemake
    # Slurm warns of a time limit by this signal, all processes of a job: Snakemake waits while the job saves its state.
    signal.signal(signal.SIGUSR1, lambda number, frame: None)


def resolve_config():
    """Validate the config before the DAG is built; a user's mistake ends here, in one line."""
    source = ", ".join(CONFIGS)
    try:
        complete = plan_config.resolve(config, ROOT / "config/schema.yaml", source)
        if workflow.is_main_process:  # a job that the scheduler started was checked before
            logger.info(f"Checking {source}, and that its networks can be pruned...")
            from sacp.plan import preflight  # not above: each job would wait for torch

            # Jobs of a cluster (`--jobs`) run elsewhere: the GPU must be there, not here.
            here = workflow.resource_settings.nodes is None
            preflight.check(complete, source, ROOT / "config/reported/table3.csv", here)
        return complete
    except InputError as error:
        refuse(error)


resolved = resolve_config()
config["largest_checked_gb"] = resolved["largest_checked_gb"]  # for scripts; as a param it would rerun all of them
experiments = Experiments(resolved)
paths, stages = Paths(experiments), Stages(experiments)
replanning.install(partial(remaining.tell, experiments=experiments, results=resolved["pathvars"]["results"]))


@cache
def digests(script, also=()):
    """Content hashes of what a script runs, and of what its settings tell it to load."""
    return code_digests(ROOT / "scripts" / f"{script}.py", also)


def code(script, settings=None):
    """A params function: the digests of a stage's code, so that an edit reruns what it affects. Computed when needed."""
    return lambda wildcards: digests(script, functions(settings(wildcards)) if settings else ())


def minutes(first_try):
    """Minutes that a job may take: more with every retry, as a job that ran out of time needs them."""
    return lambda wildcards, attempt: first_try * attempt


def gpus(number):
    """GPUs of a job: none if the config says that all runs on CPUs."""
    return 0 if resolved["device"] == "cpu" else number


def given(resource):
    """What Snakemake was given of a resource; None where nothing limits it."""
    limit = workflow.global_resources.get(resource)
    return None if limit is None else limit.value


def figure(name):
    """Outputs of a figure, with its caption in Snakemake's report: `**figure("method")`."""
    stem = f"<results>/figures/{name}/{{experiment}}"
    labels = {"experiment": "{experiment}", "figure": name.replace("_", " ")}
    shown = report(f"{stem}.png", caption=f"captions/{name}.rst", category="Figures", labels=labels)
    return {"png": shown, "pdf": f"{stem}.pdf", "provenance": f"{stem}.provenance.json"}


def table(name):
    """Outputs of a table, with its caption in Snakemake's report: `**table("table3")`."""
    stem = f"<results>/tables/{name}"
    shown = report(f"{stem}.csv", caption=f"captions/{name}.rst", category="Tables", labels={"table": name})
    return {"csv": shown, "markdown": f"{stem}.md", "latex": f"{stem}.tex", "provenance": f"{stem}.provenance.json"}


def protocol_settings(wildcards):
    """What decides the winner beyond the tuning, as a file that the winner depends on.

    Snakemake asks whether a checkpoint must run again before it knows those of its inputs that depend on another
    checkpoint, and then looks only at jobs that do not. This file is made by such a job: if k or the full training
    changes, the winner waits for it, and the baselines wait for the new winner instead of taking the old.
    """
    training = digests("train_candidate", functions(stages.candidate(wildcards)))
    return ordered(stages.protocol(wildcards, training))


def tuned_rows(experiment, seed, method):
    """The tuned candidates of a search, known once they are ranked."""
    tuned = checkpoints.rank_tuned.get(experiment=experiment, seed=seed, method=method).output.tuned
    checked([tuned], results=Path(tuned).parents[3])
    return ranking.load_tuned(tuned)


choices = Choices(paths, tuned_rows)
