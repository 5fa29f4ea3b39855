import numpy as np
import pytest
from networks_zoo import built
from sacp.report.trivial import trivial


def test_simple_predictors_by_hand():
    network, graph = built("resnet8", 0.25)
    steps = np.zeros((2, len(graph.groups)), np.uint8)
    steps[1, 0] = 5
    found = trivial(network, graph, steps, levels=10)
    for name, (unpruned, pruned) in found.items():
        assert pruned < unpruned, name
    assert found["minus pruning ratio"][0] == 0
    assert found["kept L1 mass, mean"][0] == pytest.approx(1)
    assert found["kept L1 mass, sum of logs"][0] == pytest.approx(0, abs=1e-12)
    group = graph.groups[0]
    norms = sum(
        network.get_submodule(layer).weight.detach().double().abs().sum(dim=(1, 2, 3)) for layer in group.layers
    )
    share = float(norms.sort(descending=True).values[: group.channels // 2].sum() / norms.sum())
    logs = len(group.layers) * np.log(share)
    assert found["kept L1 mass, sum of logs"][1] == pytest.approx(logs)
    assert found["kept L1 mass, sum of sqrt(C) logs"][1] == pytest.approx(logs * group.channels**0.5)
