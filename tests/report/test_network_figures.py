"""Figure 1: what it says of a run, and that it is drawn."""

import pytest
from configs import DEMO, resolved, unresolved
from networks_zoo import built
from sacp.network.cost import cost_of_graph
from sacp.plan.experiments import Experiments, Values
from sacp.plan.stages import Stages
from sacp.report.network_figures import method_figure, stages_of


@pytest.mark.parametrize(
    ("first", "score", "scored"),
    [
        ("sacp", ("encoder", "objective contrastive, 10 epochs"), "of all 20,000 candidates"),
        ("log-mass", ("score", "log-mass"), "of the 1,000 best of the whole space"),
    ],
)
def test_the_figure_of_the_method_says_what_the_first_search_did(tmp_path, first, score, scored):
    settings = unresolved()
    methods = settings["defaults"]["methods"]
    settings["defaults"]["methods"] = {first: {key: methods[first][key] for key in methods[first] if key != "match"}}
    run = Stages(Experiments(resolved(settings))).method_figure(Values(DEMO))
    assert run["method"] == first
    _, graph = built("resnet14")
    base = {"flops": cost_of_graph(graph).flops, "test_accuracy_percent": 98.765}
    winner = {"flops": base["flops"] // 4, "test_accuracy_percent": 97.5}
    stages = stages_of(run, graph, base, winner)
    assert stages == [
        ("network", f"{len(graph.nodes)} nodes, {len(graph.groups)} groups; base 98.77 %"),
        ("configurations", "N = 1,000; M = 20,000 with R ≥ 0.4"),
        score,
        ("scores", scored),
        ("light tuning", "of the m = 20 best by score"),
        ("full training", "of the k = 3 best by validation accuracy"),
        ("winner", "97.50 % (test), 75.0 % of the FLOPs pruned"),
    ]
    path = tmp_path / "figure.png"
    method_figure([path], "net", graph, [group.channels // 2 for group in graph.groups], stages)
    assert path.stat().st_size > 1000
