"""Scripts that rank, choose, draw from tables or write them load no torch, which takes longer than their work."""

import ast
import subprocess
import sys

import pytest
from checkout import ROOT

# They train, evaluate, score or read networks or images.
HEAVY = {
    "collect_predictors", "draw_embedding", "draw_responses", "export_winner", "find_configs", "make_forecast",
    "measure_latency", "measure_sensitivity", "prepare_data", "probe_sample", "rescore_candidates", "score_candidates",
    "search_colony", "select_baseline", "trace_network", "train_base", "train_baseline", "train_candidate",
    "train_encoder", "train_sparse", "tune_rung", "tune_shard",
}  # fmt: skip
LIGHT = sorted({path.stem for path in (ROOT / "scripts").glob("*.py")} - HEAVY)
# Runs the imports given by stdin where torch is not to be had.
IMPORTS = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is loaded")

sys.meta_path.insert(0, NoTorch())
exec(sys.stdin.read())
"""


def imports(script: str) -> str:
    """The imports of a script, also those within its functions."""
    tree = ast.parse((ROOT / f"scripts/{script}.py").read_text())
    return "\n".join(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def loaded(code: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(
        [sys.executable, "-c", IMPORTS], input=code, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", LIGHT)
def test_a_light_script_loads_no_torch(script):
    done = loaded(imports(script))
    assert done.returncode == 0, done.stderr


def test_a_script_that_loads_torch_would_be_found():
    assert "torch is loaded" in loaded(imports("train_base")).stderr
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} >= HEAVY
