"""What a script does around its work: its record, its log, its end."""

import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from checkout import ROOT
from disks import FILLER, files, fill
from sacp import imports
from sacp.artefacts import lookup
from sacp.artefacts.clock import process_seconds
from sacp.artefacts.files import write_json
from sacp.artefacts.tensors import load_torch
from sacp.compute import job, long_job
from sacp.compute.arithmetic import EXACT, Engine
from sacp.compute.parallel import Team
from sacp.compute.resume import key_of
from sacp.errors import InputError
from stand_in import stand_in
from users_code import importable

LOG, RECORD = "logs/rule/stage.log", "rule.provenance.json"


@pytest.fixture(autouse=True)
def process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A job changes its whole process; all of it is undone."""
    for name in ("OMP_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    for name in ("RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    root = logging.getLogger()
    handlers, level, threads = list(root.handlers), root.level, torch.get_num_threads()
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    root.handlers = []  # else the job would close those of the test
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    torch.set_num_threads(threads)
    for number, action in signals.items():
        signal.signal(number, action)


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the user gives, outside the results."""
    return tmp_path_factory.mktemp("given") / "data.csv"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_job_sees_what_snakemake_says_of_it(tmp_path, data):
    data.write_text("1,2\n")
    given, wildcards = {"data": data}, {"experiment": "digits", "seed": "3"}
    described = stand_in(tmp_path, given, {"table": "table.csv"}, {"lr": 0.1}, wildcards, threads=2)
    with job.running(described) as work:
        assert (work.rule, work.cfg, work.seed, work.threads) == ("rule", {"lr": 0.1}, 3, 2)
        assert work.given.data == str(data)
        assert work.out.table == str(tmp_path / "table.csv")
        assert work.wildcards.experiment == "digits"
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (2, "2")
        Path(work.out.table).write_text("")


def test_the_record_of_a_job_lies_beside_its_outputs_and_names_them_with_their_digests(tmp_path, data):
    data.write_text("1,2\n")
    outputs = {"table": "table.csv", "picture": "table.png"}
    described = stand_in(tmp_path, {"data": data}, outputs, {"lr": 0.1}, {"seed": "3"})
    with job.running(described) as work:
        Path(work.out.table).write_text("table")
        Path(work.out.picture).write_text("picture")
        work.facts["data_digest"] = "abc"
        assert not (tmp_path / RECORD).exists()
    record = lookup.load(tmp_path / RECORD)
    assert record["outputs"] == {"table.csv": sha256(b"table"), "table.png": sha256(b"picture")}
    assert record["inputs"] == {data.as_posix(): sha256(b"1,2\n")}
    assert record["code"] == {"stage": "c" * 64}
    assert (record["rule"], record["settings"], record["seed"]) == ("rule", {"lr": 0.1}, 3)
    assert record["results"] == tmp_path.as_posix()
    assert record["data_digest"] == "abc"
    assert 0 < record["seconds"] <= process_seconds()
    assert lookup.find(tmp_path / "table.png") == (tmp_path / RECORD, record)
    assert (tmp_path / LOG).read_text().splitlines()[-1].split(" ", 1)[1].startswith("done in ")


def test_a_job_without_seed_settings_or_inputs_has_a_record_too(tmp_path):
    described = stand_in(tmp_path, out={"table": "table.csv"})
    del described.params._values["cfg"]
    with job.running(described) as work:
        assert (work.seed, work.cfg) == (None, {})
        Path(work.out.table).write_text("table")
    record = lookup.load(tmp_path / RECORD)
    assert (record["seed"], record["settings"], record["inputs"]) == (None, {}, {})


def test_inputs_are_recorded_as_they_were_when_the_job_began(tmp_path, data):
    data.write_text("before")
    with job.running(stand_in(tmp_path, {"data": data})):
        data.write_text("after")
    record = lookup.load(tmp_path / RECORD)
    assert list(record["inputs"].values()) == [sha256(b"before")]


def test_files_that_the_inputs_lead_to_are_compared_and_recorded_as_inputs_are(tmp_path):
    with job.running(stand_in(tmp_path / "made", out={"table": "table.csv"})) as work:
        Path(work.out.table).write_text("before")
    found, record = tmp_path / "made/table.csv", lookup.load(tmp_path / "made" / RECORD)
    assert record["outputs"] == {"table.csv": sha256(b"before")}
    with job.running(stand_in(tmp_path / "read")) as work:
        work.also_read(found)
        found.write_text("after")
        with pytest.raises(InputError, match=r"table\.csv: damaged or changed"):
            work.also_read(found)
    assert lookup.load(tmp_path / "read" / RECORD)["inputs"] == {found.as_posix(): sha256(b"before")}
    described = stand_in(tmp_path / "read")
    described.config["largest_checked_gb"] = 0
    with job.running(described) as work:
        work.also_read(found)  # larger than what is compared: taken to be what its record says
    assert lookup.load(tmp_path / "read" / RECORD)["inputs"] == {found.as_posix(): sha256(b"before")}


def test_seconds_of_processes_that_were_killed_count(tmp_path):
    with job.running(stand_in(tmp_path)) as work:
        work.earlier_seconds = 1000.0
    assert lookup.load(tmp_path / RECORD)["seconds"] == pytest.approx(1000 + process_seconds(), abs=1)


def test_a_users_mistake_ends_with_status_1_and_one_line_in_the_log_and_no_record(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught, job.running(stand_in(tmp_path)):
        raise InputError("data.csv: no such file; expected a table")
    assert caught.value.code == 1
    [line] = (tmp_path / LOG).read_text().splitlines()
    assert line.split(" ", 1)[1] == "error: data.csv: no such file; expected a table"
    assert capsys.readouterr().err.splitlines() == [line]
    assert not (tmp_path / RECORD).exists()


def test_want_of_memory_ends_in_one_line_too(tmp_path):
    with pytest.raises(SystemExit) as caught, job.running(stand_in(tmp_path)):
        bytearray(2**60)
    assert caught.value.code == 1
    [line] = (tmp_path / LOG).read_text().splitlines()
    assert line.split(" ", 1)[1] == "error: out of memory; give the job more, or lower the sizes of its settings"


def test_a_defect_is_logged_as_one_with_its_traceback_and_raised(tmp_path):
    with pytest.raises(ZeroDivisionError), job.running(stand_in(tmp_path)):
        print(1 / 0)
    lines = (tmp_path / LOG).read_text().splitlines()
    assert lines[0].split(" ", 1)[1] == "this is a defect of sacp, not of your input"
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert not (tmp_path / RECORD).exists()


def chat(described: SimpleNamespace, disk: Path) -> None:
    """A job that says much on a disk that is full meanwhile."""
    with job.running(described):
        fill(disk)
        for number in range(1000):
            job.log.info("line %d of many", number)
        (disk / FILLER).unlink()  # the record is to be written


def test_a_job_goes_on_when_its_log_is_full_and_tells_it_once(small_disk, capsys):
    chat(stand_in(small_disk), small_disk)
    said = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert said[:-2] == [f"line {number} of many" for number in range(1000)]
    assert said[-2].startswith("done in ")
    assert re.fullmatch(rf"{small_disk / LOG}: lines are missing: no room on the disk .*", said[-1])
    assert (small_disk / RECORD).exists()
    logging.shutdown()  # as at the end of a process: no word about lines that still wait for room
    assert capsys.readouterr().err == ""


def speak(described: SimpleNamespace, full: Path | None = None) -> None:
    """A job that says a line, a warning, and a mistake, on a disk that is `full` when it has begun."""
    with job.running(described):
        if full:
            fill(full)
        job.log.info("a line")
        job.log.warning("a warning")
        raise InputError("a mistake")


def test_where_the_run_is_shown_stderr_has_warnings_alone_and_the_log_has_all(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(job.SHOWN, "1")
    with pytest.raises(SystemExit):
        speak(stand_in(tmp_path))
    lines = (tmp_path / LOG).read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["a line", "a warning", "error: a mistake"]
    assert capsys.readouterr().err.splitlines() == [lines[1]]


def test_where_the_run_is_shown_an_error_that_the_log_has_no_room_for_is_on_stderr(small_disk, capsys, monkeypatch):
    monkeypatch.setenv(job.SHOWN, "1")
    with pytest.raises(SystemExit):
        speak(stand_in(small_disk), small_disk)
    said = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert said == ["a warning", "error: a mistake"]


def end_badly(described: SimpleNamespace, disk: Path) -> None:
    with job.running(described) as work:
        fill(disk)
        job.log.info("a line")
        write_json(work.out.table, {"a": "b"})


def test_a_job_that_cannot_write_its_output_says_that_alone(small_disk, capsys):
    with pytest.raises(SystemExit, match="1"):
        end_badly(stand_in(small_disk, out={"table": "table.json"}), small_disk)
    said = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert said[0] == "a line"
    assert re.fullmatch(rf"error: {small_disk}/table.json: cannot be written: no room on the disk .*", said[1])
    assert len(said) == 2
    assert files(small_disk) == [LOG]


def save_states(described: SimpleNamespace, disk: Path) -> None:
    with long_job.running(described) as work:
        work.sidecar.state["weights"] = torch.arange(1000)
        work.sidecar.save()
        fill(disk)
        work.sidecar.state["weights"] = torch.zeros(10_000)
        work.sidecar.save()


def test_a_state_that_finds_no_room_ends_the_job_in_one_line_and_the_state_before_stays(small_disk, capsys):
    with pytest.raises(SystemExit, match="1"):
        save_states(stand_in(small_disk, cfg=CPU), small_disk)
    [line] = [line for line in capsys.readouterr().err.splitlines() if "runs on cpu" not in line]
    state = small_disk / "resume/rule/stage.pt"
    assert re.search(rf"error: {state}: cannot be written: no room on the disk ", line)
    assert torch.equal(load_torch(state, ("state",))["state"]["weights"], torch.arange(1000))
    assert os.listdir(state.parent) == ["stage.pt"]


def test_a_log_that_cannot_be_opened_is_a_users_mistake(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's, which a job does not have
    (tmp_path / "logs").write_text("")
    with pytest.raises(SystemExit, match="1"), job.running(stand_in(tmp_path)):
        pytest.fail("the work has begun")
    assert capsys.readouterr().err == f"error: {tmp_path / LOG}: cannot be written: Not a directory\n"


def test_an_output_that_was_not_written_is_a_defect_and_there_is_no_record(tmp_path):
    with pytest.raises(FileNotFoundError), job.running(stand_in(tmp_path, out={"table": "table.csv"})):
        pass
    assert "this is a defect of sacp" in (tmp_path / LOG).read_text()
    assert not (tmp_path / RECORD).exists()


def test_a_damaged_record_of_an_input_is_a_users_mistake(tmp_path, data):
    data.write_text("1,2\n")
    data.with_name("data.provenance.json").write_text("{")
    with pytest.raises(SystemExit) as caught, job.running(stand_in(tmp_path, {"data": data})):
        pytest.fail("the work has begun")
    assert caught.value.code == 1
    assert "error: " in (tmp_path / LOG).read_text()
    assert "data.provenance.json: not valid JSON" in (tmp_path / LOG).read_text()


def test_of_several_processes_the_first_alone_writes_log_and_record(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with job.running(stand_in(tmp_path)):
        job.log.info("a word")
    assert not (tmp_path / LOG).exists()
    assert not (tmp_path / RECORD).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_a_users_function_runs_is_no_mistake_of_the_users(tmp_path, monkeypatch, number):
    def long_running():
        os.kill(os.getpid(), number)
        time.sleep(60)

    path = importable(monkeypatch, long_running)
    with pytest.raises(SystemExit, match=str(128 + number)), job.running(stand_in(tmp_path)):
        imports.call(path)
    assert "error: " not in (tmp_path / LOG).read_text()


CPU = {"device": "cpu"}


def test_a_job_that_trains_has_a_device_and_keeps_its_state_until_its_record_is_written(tmp_path):
    described = stand_in(tmp_path, out={"table": "table.csv"}, cfg=CPU, save_seconds="7")
    state = tmp_path / "resume/rule/stage.pt"
    with long_job.running(described) as work:
        assert (work.device.type, work.team.rank, work.team.size) == ("cpu", 0, 1)
        assert (work.sidecar.path, work.sidecar.period_seconds, work.sidecar.state) == (state, 7.0, {})
        work.sidecar.state["rows"] = [1]
        work.sidecar.save()
        work.facts["data_digest"] = "abc"
        Path(work.out.table).write_text("table")
    record = lookup.load(tmp_path / RECORD)
    assert record["outputs"] == {"table.csv": sha256(b"table")}
    assert record["data_digest"] == "abc"
    assert not state.exists()


def end_half_way(described: SimpleNamespace, end: BaseException, running=long_job.running) -> None:
    """A job saves a state after 1000 seconds, and does not come to its end."""
    with running(described) as work:
        work.sidecar.state["rows"] = [1]
        work.sidecar.earlier_seconds = 1000.0
        work.sidecar.save()
        raise end


@pytest.mark.parametrize("running", [long_job.running, long_job.resuming])
def test_a_job_goes_on_where_it_was_killed_and_counts_all_of_its_time(tmp_path, running):
    described = stand_in(tmp_path, cfg=CPU)
    with pytest.raises(SystemExit, match="143"):
        end_half_way(described, SystemExit(143), running)
    assert not (tmp_path / RECORD).exists()
    with running(described) as work:
        assert work.sidecar.state == {"rows": [1]}
        assert work.sidecar.key == key_of(work.record)
    assert lookup.load(tmp_path / RECORD)["seconds"] > 1000 + process_seconds()
    assert not (tmp_path / "resume/rule/stage.pt").exists()


def test_a_state_of_other_settings_is_not_gone_on_with(tmp_path):
    with pytest.raises(SystemExit, match="1"):
        end_half_way(stand_in(tmp_path, cfg=CPU), InputError("the loss is nan"))
    assert (tmp_path / "resume/rule/stage.pt").exists()
    with long_job.running(stand_in(tmp_path, cfg=CPU | {"lr": 0.2})) as work:
        assert work.sidecar.state == {}
    assert lookup.load(tmp_path / RECORD)["seconds"] <= process_seconds()


def training(precision: str) -> dict[str, object]:
    """Settings of a job that trains."""
    return {**CPU, "engine": {"deterministic": True, "precision": precision}}


def units(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    """Let this machine have units for bfloat16, or none."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": there})


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [
        ("auto", True, "bfloat16"), ("auto", False, "float32"), ("float32", True, "float32"),
        ("bfloat16", False, "bfloat16"), ("tf32", True, "float32"),
    ],
)  # fmt: skip
def test_the_precision_of_a_training_is_in_its_log_and_its_record(tmp_path, monkeypatch, asked, there, expected):
    units(monkeypatch, there=there)
    with long_job.running(stand_in(tmp_path, cfg=training(asked))) as work:
        assert work.engine == Engine(expected)
    assert f"trains in {expected} (precision: {asked})" in (tmp_path / LOG).read_text()
    record = lookup.load(tmp_path / RECORD)
    assert (record["precision"], record["lineage"]["precision"]) == (expected, {"trainings": [expected]})
    assert record["settings"]["engine"]["precision"] == asked


def test_a_job_that_trains_nothing_is_exact_and_its_record_names_no_precision(tmp_path, monkeypatch):
    units(monkeypatch, there=True)
    with long_job.running(stand_in(tmp_path, cfg=CPU)) as work:
        assert work.engine == EXACT
    record = lookup.load(tmp_path / RECORD)
    assert "precision" not in record
    assert record["lineage"]["precision"] == {}


@pytest.mark.parametrize("others", [True, False])
def test_processes_that_train_together_train_in_one_precision(tmp_path, monkeypatch, others):
    units(monkeypatch, there=True)
    monkeypatch.setattr(Team, "largest", lambda self, value, device: max(value, int(not others)))
    with long_job.running(stand_in(tmp_path, cfg=training("auto"))) as work:
        assert work.engine.precision == ("bfloat16" if others else "float32")


@pytest.mark.parametrize(
    ("asked", "began", "goes_on", "expected", "kept"),
    [
        ("auto", True, True, "bfloat16", True),
        ("auto", False, False, "float32", True),
        ("auto", False, True, "float32", True),  # float32 is as good there
        ("auto", True, False, "float32", False),  # bfloat16 would be emulated
        ("bfloat16", True, False, "bfloat16", True),  # as asked for
    ],
)
def test_a_job_never_mixes_precisions(tmp_path, monkeypatch, asked, began, goes_on, expected, kept):
    described = stand_in(tmp_path, cfg=training(asked))
    units(monkeypatch, there=began)
    with pytest.raises(SystemExit, match="143"):
        end_half_way(described, SystemExit(143))
    units(monkeypatch, there=goes_on)
    with long_job.running(described) as work:
        assert work.engine.precision == expected
        assert work.sidecar.state == {"precision": expected, **({"rows": [1]} if kept else {})}
    told = "starting anew: it was trained in bfloat16, this job trains in float32" in (tmp_path / LOG).read_text()
    assert told is not kept
    record = lookup.load(tmp_path / RECORD)
    assert record["precision"] == expected
    assert (record["seconds"] > 1000 + process_seconds()) is kept


def test_states_are_kept_beside_the_logs_by_rule_and_name():
    path = Path("results/demo/logs/tune_shard/digits-seed0-sacp-000-009.log")
    assert long_job.state_path(path) == Path("results/demo/resume/tune_shard/digits-seed0-sacp-000-009.pt")


def test_a_gpu_that_is_asked_for_and_absent_is_a_users_mistake(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert long_job.device("auto") == long_job.device("cpu") == torch.device("cpu")
    with pytest.raises(SystemExit) as caught, long_job.running(stand_in(tmp_path, cfg={"device": "cuda"})):
        pytest.fail("the work has begun")
    assert caught.value.code == 1
    [line] = (tmp_path / LOG).read_text().splitlines()
    assert "error: device: 'cuda' asked for, but no GPU was found" in line
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [long_job.device(name).type for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


STAGE = """
import sys, time
from pathlib import Path
import numpy as np
from sacp.compute import job
from sacp.search.files import new_configs
from stand_in import stand_in
with job.running(stand_in(Path(sys.argv[1]), out={"configs": "configs.h5"})) as work:
    rows = np.zeros((100_000, 4), np.uint8)
    with new_configs(work.out.configs, rows, len(rows), {}) as search:
        search[:5000] = rows[:5000]
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_stage_that_is_stopped_while_it_writes_leaves_nothing(tmp_path, number, status):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", STAGE, str(tmp_path)]
    # A shell starts its background jobs with Ctrl-C ignored, and a child inherits that; the stage starts without.
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as stage:  # fmt: skip
        assert stage.stdout.readline() == "writing\n"
        assert len(os.listdir(tmp_path)) == 2  # the log's folder and a temporary file
        stage.send_signal(number)
        assert stage.wait(timeout=30) == status
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / LOG]
