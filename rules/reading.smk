"""Read before the config is: where the library is, and what the config's files hold that YAML would pass over."""

import os
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "scripts"))
from sacp.errors import InputError
from sacp.imports import search_first, search_last
from sacp.plan import reading

# Scripts run the library beside them, whose code is their digest, and no other that may be installed.
search_first(ROOT / "scripts")
search_last(ROOT / "rules", ROOT, Path.cwd())
CONFIGS = [str(path) for path in workflow.overwrite_configfiles] or ["config/config.yaml"]


def refuse(error):
    """End in one line, as a user's mistake does. Not an exception: Snakemake would wrap it in its own words."""
    print(f"error: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


try:
    for file in CONFIGS if workflow.is_main_process else ():  # a job that the scheduler started was checked before
        reading.check_file(file)
except InputError as error:
    refuse(error)
