"""The demo, end to end, and what reruns after a change."""

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import h5py
import onnxruntime
import pandas as pd
import pytest
import rulebook
import sacp
import torch
import yaml
from checkout import ROOT, Checkout
from sacp.artefacts import lookup
from sacp.artefacts.clock import start_ticks
from sacp.artefacts.digests import file_digest, sealed
from sacp.artefacts.explain import explain
from sacp.artefacts.files import atomic
from sacp.images.splits import load_splits
from sacp.training.evaluation import accuracy_percent
from sacp.training.ranking import load_tuned

pytestmark = pytest.mark.workflow
SEED = Path("results/demo/digits-resnet14/seed0")


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def folder(finished_demo: Checkout) -> Path:
    return finished_demo.path / SEED


@pytest.fixture(scope="session")
def table(finished_demo: Checkout) -> pd.DataFrame:
    return pd.read_csv(finished_demo.path / "results/demo/tables/table3.csv").set_index("method")


def test_table_has_the_base_the_method_and_both_baselines(table: pd.DataFrame) -> None:
    assert list(table.index) == ["Base", "sacp", "l1", "random"]
    assert (table["source"] == "measured").all()


def test_the_base_has_learned_and_half_of_the_flops_are_gone(table: pd.DataFrame) -> None:
    assert table.loc["Base", "top1_percent"] > 90
    assert table.loc["sacp", "flops_pruned_percent"] > 50


@pytest.mark.parametrize("baseline", ["l1", "random"])
def test_baselines_have_the_flops_of_the_winner(table: pd.DataFrame, baseline: str) -> None:
    ratio = table.loc[baseline, "flops_millions"] / table.loc["sacp", "flops_millions"]
    assert ratio == pytest.approx(1, abs=0.02)


def test_markdown_table_and_figures_are_there(finished_demo: Checkout) -> None:
    results = finished_demo.path / "results/demo"
    assert "Paper's protocol (%)" in (results / "tables/table3.md").read_text()
    table1 = pd.read_csv(results / "tables/table1.csv")
    pd.testing.assert_frame_equal(table1, pd.read_csv(finished_demo.path / "config/reported/table1.csv"))
    for figure in ("accuracy_flops", "learning_curves"):
        png = (results / f"figures/{figure}/digits-resnet14.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert len(png) > 10_000
        assert (results / f"figures/{figure}/digits-resnet14.pdf").is_file()


@pytest.mark.parametrize("method", ["sacp", "l1", "random"])
def test_the_history_of_the_winner_stands_beside_it_with_its_validations(folder: Path, method: str) -> None:
    candidate = read(folder / method / "winner/metrics.json")["candidate"]
    history = folder / method / "winner/history.csv"
    assert history.read_bytes() == (folder / method / f"topk/{candidate}/history.csv").read_bytes()
    validated = pd.read_csv(history).set_index("epoch")["validation_accuracy_percent"].dropna()
    assert list(validated.index) == [3, 6, 9, 12]
    assert validated[12] == read(folder / method / "winner/metrics.json")["validation_accuracy_percent"]


def test_configs_can_be_read_alone(folder: Path) -> None:
    with h5py.File(folder / "configs.h5") as handle:
        groups = len(handle.attrs["groups"])
        assert handle["training"].shape == (1000, groups)
        assert handle["search"].shape == (20000, groups)
        assert handle.attrs["threshold"] == 0.4
        assert handle.attrs["levels"] == 10
        assert len(handle.attrs["channels"]) == groups


def test_scores_are_best_first_and_hold_every_candidate(folder: Path) -> None:
    scores = pd.read_parquet(folder / "sacp/scores.parquet")
    assert list(scores.columns) == ["candidate", "score", "pruning_ratio", "flops", "parameters"]
    assert scores["score"].is_monotonic_decreasing
    assert sorted(scores["candidate"]) == list(range(20000))
    assert scores["pruning_ratio"].min() >= 0.4


def test_the_best_scored_are_tuned_and_the_best_tuned_are_trained(folder: Path) -> None:
    scores = pd.read_parquet(folder / "sacp/scores.parquet")
    tuned = pd.read_csv(folder / "sacp/topm.csv")
    assert set(tuned["candidate"]) == set(scores["candidate"][:20])
    assert tuned["validation_accuracy_percent"].is_monotonic_decreasing
    trained = {int(path.name) for path in (folder / "sacp/topk").iterdir()}
    assert trained == set(tuned["candidate"][:3])


def test_the_winner_is_chosen_by_validation_accuracy(folder: Path) -> None:
    trained = [read(path) for path in (folder / "sacp/topk").glob("*/metrics.json")]
    winner = read(folder / "sacp/winner/metrics.json")
    assert winner["validation_accuracy_percent"] == max(row["validation_accuracy_percent"] for row in trained)
    assert winner["paper_protocol_test_accuracy_percent"] == max(row["test_accuracy_percent"] for row in trained)


@pytest.mark.parametrize("method", ["sacp", "l1", "random"])
def test_the_winner_loads_in_two_lines_and_has_its_accuracy(folder: Path, method: str) -> None:
    network = sacp.load(folder / method / "winner")
    splits = load_splits(folder.parents[1] / "data/digits.safetensors", 0.15, seed=0)
    metrics = read(folder / method / "winner/metrics.json")
    assert accuracy_percent(network, splits.test, splits) == metrics["test_accuracy_percent"]
    assert sum(parameter.numel() for parameter in network.parameters()) == metrics["parameters"]


def test_the_description_of_the_winner_says_how_to_use_it(folder: Path) -> None:
    description = read(folder / "sacp/winner/network.json")
    network = sacp.load(folder / "sacp/winner")
    widths = {name: network.get_submodule(name).out_channels for name in description["widths"]}
    assert widths == description["widths"]
    assert len(description["mean"]) == len(description["std"]) == 1


def test_every_artefact_says_how_it_was_made(folder: Path) -> None:
    results, made = folder.parents[1], []
    for path in sorted(path for path in results.rglob("*") if path.is_file() and "logs" not in path.parts):
        found = lookup.find(path)
        assert found is not None, path
        made.append(found[1])
        if not path.name.endswith(lookup.SUFFIX):
            assert found[1]["outputs"][path.name] == file_digest(path)
    assert len(made) > 100
    rules = re.findall(r"^(?:rule|checkpoint) (\w+):", "".join(p.read_text() for p in ROOT.glob("rules/*.smk")), re.M)
    without = {"find_configs", "make_forecast", "compare_forecast", "make_predictors", "collect_predictors"}
    without |= {
        "probe_sample",
        "tune_sample",
        "export_winner",
        "measure_latency",
        "measure_sensitivity",
        "draw_latency",
        "draw_accuracy_latency",
        "draw_predictors",
        "rescore_candidates",
        "search_colony",
        "train_baseline",
        "train_sparse",
        "tune_rung",
        "rank_rung",
    }  # not in this demo
    assert {record["rule"] for record in made} == set(rules) - without
    for record in made:
        names = {"rule", "settings", "code", "inputs", "outputs", "commit", "versions", "device", "started", "lineage"}
        assert names <= set(record)
        assert 0 < record["seconds"] < 600
    digests = {record["data_digest"] for record in made if "data_digest" in record}
    assert len(digests) == 1


def test_one_loss_per_epoch_stands_beside_the_encoder(folder: Path) -> None:
    losses = pd.read_csv(folder / "sacp/encoder_loss.csv")
    assert list(losses["epoch"]) == list(range(1, 11))
    assert losses["loss"].iloc[-1] < losses["loss"].iloc[0]


def test_a_run_removes_what_killed_jobs_have_left_and_a_dry_run_nothing(checkout: Checkout) -> None:
    folder = checkout.path / SEED / "sacp"
    folder.mkdir(parents=True)
    with atomic(folder / "encoder.pt") as temporary:
        temporary.touch()
    living = folder / temporary.name.replace(f"~{os.getpid()}~", f"~{os.getppid()}~")
    living = living.with_name(re.sub(r"~\d+~encoder", f"~{start_ticks(os.getppid())}~encoder", living.name))
    left = folder / temporary.name.replace(f"~{os.getpid()}~", "~999999999~")
    living.touch()
    left.touch()
    target = "results/demo/tables/table1.csv"
    assert checkout.demo(target, "--dry-run").status == 0
    assert left.exists()
    run = checkout.demo(target)
    assert run.status == 0, run.output
    assert f"removed {left.relative_to(checkout.path)}, which a killed job had left" in run.output
    assert sorted(folder.iterdir()) == sorted([living, folder / "encoder.pt"])


def test_a_second_run_has_nothing_to_do(finished_demo: Checkout) -> None:
    assert finished_demo.demo().jobs == []


def test_a_winner_is_exported_where_it_is_asked_for_and_by_a_run_that_is_told_so(demo_copy: Checkout) -> None:
    winner = demo_copy.path / SEED / "sacp/winner"
    run = demo_copy.demo(f"{SEED}/sacp/winner/export/network.onnx")
    assert (run.status, run.jobs) == (0, ["export_winner"]), run.output
    network, images = sacp.load(winner), torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        expected = network(images)
        found = onnxruntime.InferenceSession(winner / "export/network.onnx").run(None, {"input": images.numpy()})[0]
        program = torch.export.load(winner / "export/network.pt2").module()
        assert (torch.as_tensor(found) - expected).abs().max() < 1e-4 * expected.abs().max()
        assert (program(images) - expected).abs().max() < 1e-4 * expected.abs().max()
        assert torch.equal(sacp.load(winner / "export")(images), expected)
    about = read(winner / "export/network.json")
    original = read(winner / "network.json")
    assert [about[key] for key in ("mean", "std")] == [original[key] for key in ("mean", "std")]
    assert set(read(winner / "export/provenance.json")["exporters"]) == {"onnx", "onnxscript", "onnxruntime"}
    (demo_copy.path / "more.yaml").write_text("export: true")
    planned = demo_copy.snakemake("--configfile", "config/demo.yaml", "more.yaml", "--dry-run")
    assert planned.jobs.count("export_winner") == 2, planned.output


def contents(checkout: Checkout, *patterns: str) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of files, by path."""
    paths = sorted(path for pattern in patterns for path in (checkout.path / SEED).glob(pattern))
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_raising_k_trains_the_new_candidates_and_raising_m_tunes_the_new_shard(demo_copy: Checkout) -> None:
    finished = ("base.pt", "configs.h5", "sacp/encoder.pt", "sacp/scores.parquet", "sacp/topm/*", "sacp/topk/*/*")
    before = contents(demo_copy, *finished)
    metrics_of_baselines = contents(demo_copy, "l1/topk/*/metrics.json", "random/topk/*/metrics.json")
    metrics_before = {path: found[0] for path, found in metrics_of_baselines.items()}
    config = demo_copy.path / "config/demo.yaml"
    # A baseline is trained k times if nothing else is said: here it is, so that only the search changes.
    text = config.read_text().replace("match: sacp}", "match: sacp, trainings: 3}")
    assert "top_m: 20, top_k: 3" in text
    assert text.count("trainings: 3") == 2

    config.write_text(text.replace("top_k: 3", "top_k: 5"))
    winner = read(demo_copy.path / SEED / "sacp/winner/metrics.json")["candidate"]
    run = demo_copy.demo()
    assert run.status == 0, run.output
    new_winner = read(demo_copy.path / SEED / "sacp/winner/metrics.json")["candidate"]
    drawn = ["accuracy_cost", "accuracy_flops", "embedding", "method", "scores", "sweeps"]
    if new_winner != winner:  # otherwise network and history of the winner are what they were
        drawn += ["kept_channels", "learning_curves"]
    report = [*(f"draw_{figure}" for figure in drawn), "make_summary", "make_table3", "make_table4"]
    same = ["all", *report, "select_winner", "write_protocol"] + ["train_candidate"] * 2
    # Baselines stand at the winner's FLOPs: they are trained if, and only if, another candidate wins.
    baselines = ["select_baseline", "select_winner", *["train_candidate"] * 3] * 2
    assert run.jobs == sorted(same + (baselines if new_winner != winner else []))
    now = contents(demo_copy, *finished)
    assert {path: now[path] for path in before} == before
    metrics_now = contents(demo_copy, "l1/topk/*/metrics.json", "random/topk/*/metrics.json")
    assert ({path: now[0] for path, now in metrics_now.items()} == metrics_before) == (new_winner == winner)
    assert len(list((demo_copy.path / SEED / "sacp/topk").iterdir())) == 5

    config.write_text(text.replace("top_m: 20, top_k: 3", "top_m: 30, top_k: 5"))
    run = demo_copy.demo()
    assert run.status == 0, run.output
    assert run.jobs.count("tune_shard") == 1
    assert {"train_base", "sample_configs", "train_encoder", "score_candidates"}.isdisjoint(run.jobs)
    after = contents(demo_copy, "sacp/topm/*")
    assert {path: after[path] for path in after if path in before} == {p: before[p] for p in before if "/topm/" in p}
    assert (demo_copy.path / SEED / "sacp/topm/020-029.csv").is_file()


def test_another_winner_trains_the_baselines_at_its_flops_and_the_first_does_on_its_return(demo_copy: Checkout) -> None:
    winner_file = demo_copy.path / SEED / "sacp/winner/metrics.json"
    config, shard = demo_copy.path / "config/demo.yaml", demo_copy.path / SEED / "sacp/topm/000-009.csv"
    config_before, shard_before, winner = config.read_text(), shard.read_text(), read(winner_file)["candidate"]
    before = {path: now[0] for path, now in contents(demo_copy, "*/winner/metrics.json").items()}
    tuned = pd.read_csv(shard)
    chosen = int(tuned.loc[tuned["candidate"] != winner, "candidate"].iloc[-1])
    tuned.loc[tuned["candidate"] == chosen, "validation_accuracy_percent"] = 101.0
    holder, made = lookup.find(shard)
    record_before = holder.read_text()
    tuned.to_csv(shard, index=False)
    holder.write_text(json.dumps(sealed({**made, "outputs": made["outputs"] | {shard.name: file_digest(shard)}})))
    config.write_text(re.sub(r"top_k: \d+", "top_k: 1", config_before))

    run = demo_copy.demo()
    assert run.status == 0, run.output
    won = read(winner_file)
    assert won["candidate"] == chosen
    assert run.jobs.count("select_baseline") == 2
    flops = [read(demo_copy.path / SEED / f"{method}/winner/metrics.json")["flops"] for method in ("l1", "random")]
    assert flops == pytest.approx([won["flops"]] * 2, rel=0.02)

    config.write_text(config_before)
    shard.write_text(shard_before)
    holder.write_text(record_before)
    run = demo_copy.demo()
    assert run.status == 0, run.output
    assert read(winner_file)["candidate"] == winner
    assert contents(demo_copy, "*/winner/metrics.json").keys() == before.keys()
    assert {path: now[0] for path, now in contents(demo_copy, "*/winner/metrics.json").items()} == before


def another_criterion(checkout: Checkout) -> None:
    """Let the baseline `l1` keep other channels."""
    path = checkout.path / "config/demo.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("l1: {kind: uniform, match: sacp}", "l1: {kind: uniform, match: sacp, criterion: fpgm}")
    )
    assert path.read_text() != text


def test_a_baseline_whose_channels_were_chosen_anew_before_a_run_ended_is_trained_by_the_next(
    demo_copy: Checkout,
) -> None:
    """As after a kill between the choice of channels and the training."""
    another_criterion(demo_copy)
    run = demo_copy.demo(f"{SEED}/l1/kept.json")
    assert (run.status, run.jobs) == (0, ["select_baseline"]), run.output
    planned = demo_copy.demo("--dry-run")
    assert {"train_candidate", "select_winner", "make_table3"} <= set(planned.jobs)
    assert "select_baseline" not in planned.jobs


@pytest.mark.parametrize(
    "lost", ["sacp/winner/metrics.json", "sacp/winner/provenance.json", "sacp/winner", "sacp/topm.provenance.json"]
)
def test_a_change_is_seen_although_a_file_that_nothing_else_needs_is_gone(demo_copy: Checkout, lost: str) -> None:
    path = demo_copy.path / SEED / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    another_criterion(demo_copy)
    planned = demo_copy.demo("--dry-run")
    assert {"select_baseline", "train_candidate", "select_winner", "make_table3"} <= set(planned.jobs), planned.output


def test_another_place_for_temporary_files_or_other_resources_rerun_nothing(
    demo_copy: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    resources = [f"{rule}:mem_mb=5000" for rule in rulebook.rules()]
    assert demo_copy.demo("--dry-run", "--set-resources", *resources).jobs == []


def test_winners_are_timed_where_a_config_asks_for_it(demo_copy: Checkout) -> None:
    timed = {"batches": [1, 8], "runtimes": ["eager", "onnxruntime"], "seconds": 0.01}
    more = {"experiments": {"digits-resnet14": {"latency": timed}}}
    (demo_copy.path / "more.yaml").write_text(yaml.safe_dump(more))
    figures = [f"results/demo/figures/{name}/digits-resnet14.png" for name in ("latency", "accuracy_latency")]
    files = ("results/demo/tables/table3.csv", *figures)
    run = demo_copy.snakemake(*files, "--configfile", "config/demo.yaml", "more.yaml")
    assert run.status == 0, run.output
    assert set(run.jobs) == {"measure_latency", "make_table3", "draw_latency", "draw_accuracy_latency"}
    times = pd.read_csv(demo_copy.path / SEED / "latency.csv")
    table = pd.read_csv(demo_copy.path / files[0])
    measured = table[table["source"] == "measured"]
    assert list(times["method"].unique()) == list(measured["method"])
    assert len(times) == 4 * len(measured)
    for name in ("eager, 1 at once", "eager, 8 at once", "onnxruntime, 1 at once", "onnxruntime, 8 at once"):
        assert (measured[f"ms, {name}"] > 0).all()
        assert measured[f"times as fast, {name}"].iloc[0] == 1  # the base
    assert (demo_copy.path / files[1]).read_bytes().startswith(b"\x89PNG")


def test_halving_tunes_those_that_come_through_as_all_are_tuned(
    demo_copy: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    topm = demo_copy.path / SEED / "sacp/topm.csv"
    whole = {row["candidate"]: row for row in load_tuned(topm)}
    more = {"experiments": {"digits-resnet14": {"refine": {"halving": True, "shard_size": 6}}}}
    (demo_copy.path / "more.yaml").write_text(yaml.safe_dump(more))
    target = f"{SEED}/sacp/winner/metrics.json"
    configs = ("--configfile", "config/demo.yaml", "more.yaml")
    run = demo_copy.snakemake(target, *configs)
    assert run.status == 0, run.output
    jobs = Counter(run.jobs)
    assert (jobs["tune_rung"], jobs["rank_rung"], jobs["rank_tuned"], jobs["tune_shard"]) == (4 + 2 + 1, 2, 1, 0)
    # Not at the end of the run, when the states of all searches would lie there.
    deleted = f"Removing temporary output {SEED}/sacp/topm/rung0/000-005.states.zip"
    assert run.output.index(deleted) < run.output.index("checkpoint rank_tuned:")
    rungs = [
        pd.read_csv(topm.parent / f"topm/rung{rung}/{name}.csv") for rung in (0, 1) for name in ("kept", "dropped")
    ]
    assert [len(rows) for rows in rungs] == [10, 10, 5, 5]
    assert rungs[0]["validation_accuracy_percent"].min() >= rungs[1]["validation_accuracy_percent"].max()
    halved = load_tuned(topm)
    assert {row["candidate"] for row in halved} == set(rungs[2]["candidate"])
    assert all(row == whole[row["candidate"]] for row in halved)
    winner = read(demo_copy.path / target)
    assert (winner["tuned_candidates"], len(winner["trained_candidates"])) == (20, 3)
    assert list(topm.parent.rglob("*.states.zip")) == list((demo_copy.path / "results/demo/resume").rglob("*.pt")) == []
    assert demo_copy.snakemake(target, "--dry-run", *configs).jobs == []
    monkeypatch.chdir(demo_copy.path)
    assert explain(SEED / "sacp/topm.csv").broken == []


def test_a_search_by_measured_sensitivities_finds_the_best_by_them(demo_copy: Checkout) -> None:
    more = {"defaults": {"methods": {"s": {"kind": "search", "score": "sensitivity", "search": "exact"}}}}
    (demo_copy.path / "more.yaml").write_text(yaml.safe_dump(more))
    run = demo_copy.snakemake(f"{SEED}/s/scores.parquet", "--configfile", "config/demo.yaml", "more.yaml")
    assert run.status == 0, run.output
    assert set(run.jobs) == {"measure_sensitivity", "find_configs", "score_candidates"}
    folder = demo_copy.path / SEED
    network, measured = read(folder.parent / "network.json"), read(folder / "sensitivity.json")
    assert list(measured["groups"]) == [group["name"] for group in network["groups"]]
    assert all(value > 0 for value in measured["groups"].values())
    assert all(0 < measured["errors"][name] < value for name, value in measured["groups"].items())
    found, sample = (pd.read_parquet(folder / name / "scores.parquet") for name in ("s", "sacp"))
    assert found["score"].is_monotonic_decreasing
    assert (found["flops"] <= sample["flops"].max()).all()
