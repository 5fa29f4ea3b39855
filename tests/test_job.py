"""A stage that is stopped half-way leaves no file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGE = """
import sys, time
import numpy as np
from sacp import artefacts, job
with job.logged(sys.argv[1] + "/stage.log"):
    rows = np.zeros((100_000, 4), np.uint8)
    with artefacts.new_configs(sys.argv[1] + "/configs.h5", rows, len(rows), {}) as search:
        search[:5000] = rows[:5000]
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_stage_that_is_stopped_while_it_writes_leaves_nothing(tmp_path, number, status):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, "-c", STAGE, str(tmp_path)]
    # A shell starts its background jobs with Ctrl-C ignored, and a child inherits that; the stage starts without.
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as stage:  # fmt: skip
        assert stage.stdout.readline() == "writing\n"
        assert len(os.listdir(tmp_path)) == 2  # the log and a temporary file
        stage.send_signal(number)
        assert stage.wait(timeout=30) == status
    assert os.listdir(tmp_path) == ["stage.log"]
