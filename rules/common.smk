"""Helper functions of the rules: the resolved config, the part of it that a stage uses, and the code it runs."""

import os
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from sacp import config as sacp_config
from sacp import preflight
from sacp.errors import InputError
from sacp.provenance import code_digest


def resolve_config():
    """Validate the config before the DAG is built; a user's mistake ends here, in one line."""
    source = ", ".join(str(path) for path in workflow.overwrite_configfiles or ["config/config.yaml"])
    try:
        complete = sacp_config.resolve(config, Path(workflow.basedir) / "config/schema.yaml", source)
        if workflow.is_main_process:  # a job that the scheduler started was checked before
            preflight.check(complete, source, Path(workflow.basedir) / "config/reported/table3.csv")
        return complete
    except InputError as error:
        # Not an exception: Snakemake would wrap it in its own words and the place in this file.
        print(f"error: {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


@cache
def code(script):
    """Content hash of a script and the library modules that it imports: a param, so that an edit reruns the rule."""
    return code_digest(Path(workflow.basedir) / "scripts" / f"{script}.py")


def experiment_of(wildcards):
    return resolved["experiments"][wildcards.experiment]


def method_of(wildcards):
    return experiment_of(wildcards)["methods"][wildcards.method]


def methods_of(experiment, *kinds):
    """Names of an experiment's methods of these kinds; of all kinds if none is given."""
    methods = resolved["experiments"][experiment]["methods"]
    return [name for name, method in methods.items() if not kinds or method["kind"] in kinds]


def stage(*parts, **more):
    """A params function: one plain dict with sorted keys, the part of the resolved config that a stage uses."""

    def settings(wildcards):
        experiment = experiment_of(wildcards)
        taken = {"network": preflight.network_settings(experiment, resolved["datasets"])}
        for part in parts:
            taken[part] = resolved["device"] if part == "device" else experiment[part]
        for name, value in more.items():
            taken[name] = value(wildcards) if callable(value) else value
        return dict(sorted(taken.items()))

    return settings


def data_file(wildcards):
    return f"<results>/data/{experiment_of(wildcards)['dataset']}.safetensors"


def seed_paths(pattern, **values):
    """Paths of `pattern` for every seed."""
    return expand(pattern, seed=resolved["seeds"], **values)
