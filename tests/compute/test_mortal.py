"""Processes that end with the one that started them."""

import os
import signal
import subprocess
import sys

from orphans import left_by
from sacp.compute import mortal

PROGRAM = """
import subprocess, sys
from sacp.compute import mortal
subprocess.run(mortal.command("sleep", "600"))
"""
CHAIN = """
import subprocess, sys
from sacp.compute import mortal
inner = "import subprocess; from sacp.compute import mortal; subprocess.run(mortal.command('sleep', '600'))"
subprocess.run(mortal.command(sys.executable, "-c", inner))
"""


def test_a_program_ends_with_the_process_that_started_it(tmp_path):
    assert left_by(tmp_path, PROGRAM, 1) == []


def test_so_do_those_that_it_has_started_in_its_turn(tmp_path):
    assert left_by(tmp_path, CHAIN, 2) == []


def test_a_program_runs_with_its_arguments_and_its_status():
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    done = subprocess.run(mortal.command(sys.executable, "-c", code, "a b", "-c"), stdout=subprocess.PIPE, text=True)
    assert (done.stdout, done.returncode) == ("['a b', '-c']\n", 7)


def test_a_program_whose_parent_is_gone_already_does_not_begin(tmp_path):
    command = mortal.command("touch", str(tmp_path / "begun"))
    other = [str(os.getppid()) if word == str(os.getpid()) else word for word in command]
    assert subprocess.run(other).returncode == -signal.SIGKILL
    assert not (tmp_path / "begun").exists()
