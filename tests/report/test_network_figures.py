"""Figure 1: what it says of a run, and that it is drawn."""

import matplotlib.pyplot as plt
import pytest
from configs import DEMO, resolved, unresolved
from networks_zoo import built
from sacp.network.cost import cost_of_graph
from sacp.plan.experiments import Experiments, Values
from sacp.plan.stages import Stages
from sacp.report.network_figures import kept_count, method_figure, shown_axis, stages_of


@pytest.mark.parametrize(
    ("first", "configurations", "score", "scored"),
    [
        (
            "sacp",
            "N = 1,000; M = 20,000 with R ≥ 0.4",
            ("encoder", "objective contrastive, 10 epochs"),
            "of all 20,000 candidates",
        ),
        ("log-mass", "all with R ≥ 0.4", ("score", "log-mass"), "of the 1,000 best of the whole space"),
    ],
)  # fmt: skip
def test_the_figure_of_the_method_says_what_the_first_search_did(tmp_path, first, configurations, score, scored):
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
        ("configurations", configurations),
        score,
        ("scores", scored),
        ("light tuning", "of the m = 20 best by score"),
        ("full training", "of the k = 3 best by validation accuracy"),
        ("winner", "97.50 % (test), 75.0 % of the FLOPs pruned"),
    ]
    path = tmp_path / "figure.png"
    method_figure([path], "net", graph, [group.channels // 2 for group in graph.groups], stages)
    assert path.stat().st_size > 1000


def test_the_classifier_shows_how_many_of_its_inputs_are_kept():
    _, graph = built("resnet14")
    shares = [0.5] * len(graph.groups)
    *_, last = graph.nodes
    assert (last.kind, last.channels) == ("linear", 10)
    assert shown_axis(last) == last.inputs
    assert kept_count(shown_axis(last), shares) == last.in_channels // 2
    first = graph.nodes[0]
    assert shown_axis(first) == first.outputs


def test_every_bar_has_a_label(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr("sacp.report.network_figures.save", lambda figure, paths: saved.append(figure))
    _, graph = built("resnet14")
    method_figure([tmp_path / "a.png"], "net", graph, [group.channels // 2 for group in graph.groups], [("a", "b")])
    labels = [text.get_text() for text in saved[0].axes[0].texts]
    assert len(labels) == len(graph.nodes)
    assert labels[:2] == ["conv1  8/16", "bn1  8/16"]
    assert labels[-1] == "classifier  32/64 inputs"
    assert min(text.get_fontsize() for text in saved[0].axes[0].texts) >= 8
    plt.close(saved[0])
