"""Runs that are shown by stages, as their users see them: on a terminal, and elsewhere."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout, shorten

SNAKEFILE = """
rule all:
    input: expand("made/{number}.last", number=range(3))
rule first_step:
    output: "made/{number}.first"
    log: "logs/first_step/{number}.log"
    shell: "echo 'said by job {wildcards.number}' >&2; echo 'error: no room' > {log}; {config[command]} {output}"
checkpoint last_step:
    input: "made/{number}.first"
    output: "made/{number}.last"
    shell: "touch {output}"
"""


def run(folder: Path, *arguments: str, terminal: bool = False, root: Path = ROOT) -> tuple[int, str]:
    """Status and output of Snakemake in a folder, with the plugin of a checkout."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(root / "scripts"), "TERM": "xterm"}
    if not terminal:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        output = b""
        try:
            while part := os.read(ours, 1 << 16):
                output += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return process.returncode, output.decode().replace("\r\n", "\n")


def small(folder: Path, *arguments: str, terminal: bool = False, command: str = "touch") -> tuple[int, str]:
    """Run the small workflow."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    return run(folder, *arguments, "--logger", "stages", "--config", f"command={command}", terminal=terminal)


def without_control_codes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_elsewhere_a_stage_has_plain_lines_and_snakemakes_log_has_all(tmp_path):
    status, output = small(tmp_path)
    assert status == 0, output
    assert re.search(r"^\S+ first step: 3/3, .*; all \d/6", output, re.MULTILINE)
    assert re.search(r"^done after .*: 6/6 jobs$", output, re.MULTILINE)
    assert "said by job 2" in output
    assert "\x1b" not in output
    assert "jobid" not in output
    (log,) = (tmp_path / ".snakemake/log").glob("*.snakemake.log")
    text = log.read_text()
    assert len(re.findall(r"^localrule first_step:$", text, re.MULTILINE)) == 3
    assert "    jobid: " in text
    assert "3 of 7 steps" in text
    assert str(log) in output


def test_on_a_terminal_lines_are_kept_up_to_date_and_what_jobs_say_stands_above(tmp_path):
    status, output = small(tmp_path, terminal=True, command="sleep 1; touch")
    assert status == 0, output
    assert "\x1b[2K" in output  # a line is written over
    lines = [line.rstrip() for line in re.split("[\n\r]", without_control_codes(output))]
    assert {f"said by job {number}" for number in range(3)} <= set(lines)
    assert any(re.match(r"first step +[012]/3 +[12] running", line) for line in lines), output
    assert any(re.match(r"first step: 3/3 in ", line) for line in lines), output
    assert re.match(r"done after .*: 6/6 jobs", lines[-2]), output


def test_a_failure_is_told_with_its_reason_in_red_on_a_terminal(tmp_path):
    status, output = small(tmp_path, command="false", terminal=True)
    assert status == 1
    assert re.search(r"\x1b\[31mfailed: first step \(number \d\)", output), output
    text = without_control_codes(output)
    assert "    error: no room" in text
    assert re.search(r"stopped after .*: 0/6 jobs, \d failed", text)
    assert "Traceback" not in text


@pytest.mark.parametrize("terminal", [False, True])
def test_an_error_of_snakemakes_own_is_shown(tmp_path, terminal):
    status, output = small(tmp_path, "not_there", terminal=terminal)
    assert status == 1
    assert "No rule to produce not_there" in output


def test_a_run_that_is_interrupted_says_so(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--logger", "stages", "--config", "command=sleep 60;"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        while "said by job" not in process.stdout.readline():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        output = process.communicate(timeout=60)[0]
    assert "Terminating processes on user request" in output
    assert re.search(r"^stopped after .*: 0/6 jobs", output, re.MULTILINE)


def test_an_output_that_a_job_has_not_made_is_told(tmp_path):
    status, output = small(tmp_path, "--latency-wait", "0", command="true")
    assert status == 1
    assert "MissingOutputException" in output


@pytest.mark.parametrize("option", ["--dry-run", "--verbose", "--logger-stages-each-job"])
def test_dry_runs_and_verbose_ones_have_snakemakes_output_and_those_that_ask_for_it(tmp_path, option):
    status, output = small(tmp_path, option)
    assert status == 0, output
    assert re.search(r"^first_step +3$", output, re.MULTILINE)
    assert len(re.findall(r"^(?:local)?rule first_step:$", output, re.MULTILINE)) == 3
    assert "reason: Missing output files: made/0.first" in output


def test_the_profile_shows_stages_with_the_plugin_of_the_checkout(tmp_path):
    checkout = shorten(copy_checkout(tmp_path / "checkout", logger=True))
    until = ("--until", "trace_network", "write_protocol")
    status, output = run(
        checkout.path, "--profile", "profiles/local", *until, "--configfile", "config/demo.yaml", root=checkout.path
    )
    assert status == 0, output
    assert re.search(r"^\S+ trace network: 1/1, ", output, re.MULTILINE)
    assert "write protocol: 3/3" in output
    assert re.search(r"^\S+ 0/4 jobs$", output, re.MULTILINE)  # of these rules alone
    assert re.search(r"^done after .*: 4/4 jobs; results: results/demo$", output, re.MULTILINE)
    # Loading torch takes seconds, planning a large run minutes: what is done is said before.
    assert re.search(r"^Checking .*config/demo\.yaml, .*\n(.*\n)?Building DAG of jobs", output, re.MULTILINE)
    assert "9 groups" not in output  # what the job has logged
    assert "9 groups" in (checkout.path / "results/demo/logs/trace_network/digits-resnet14.log").read_text()
