"""What ranking anew is worth on a finished study: learned from some random networks, judged on the others.

    .venv/bin/python tests/benchmarks/reranking.py results/cifar10_score

For each network and seed, a part of the random sample is taken for tuned candidates, the rest and the networks of
`random-picks` for those that are ranked anew. Kendall's tau of `log-mass`, of the model that the tuned ones taught
whether or not cross-validation wants it, and of what `rerank` would use; means over seeds and draws.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sacp.artefacts.files import read_json
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.criteria import l1_norms
from sacp.pruning.space import kept_counts
from sacp.search import log_mass
from sacp.search.files import load_configs
from sacp.search.relearn import learn
from scipy.stats import kendalltau

ACCURACY = "validation_accuracy_percent"
LABELS = (8, 12, 16)
DRAWS = 20
LEVELS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    results = parser.parse_args().results
    rows = []
    for folder in sorted(path.parents[2] for path in results.glob("*/seed*/sample/search/repeat0")):
        model = folder.parent.name
        sample = pd.concat(map(pd.read_csv, sorted((folder / "sample/search/repeat0").glob("???-???.csv"))))
        graph = load_graph(folder.parent / "network.json")
        base = load_base(folder / "base.pt", NetworkSpec(**read_json(folder.parent / "network.json")["network"]))
        picked = pd.read_csv(folder / "random-picks/topm.csv")
        numbers = [*sample["candidate"], *picked["candidate"]]
        accuracy = np.array([*sample[ACCURACY], *picked[ACCURACY]])
        steps = np.stack([load_configs(folder / "configs.h5", "search", int(n))[0] for n in numbers])
        mass = np.log(log_mass.kept_mass(l1_norms(base, graph), kept_counts(steps, graph, LEVELS)))
        values = log_mass.values(base, graph, LEVELS)
        scores = values[np.arange(len(values)), steps].sum(axis=1)
        rng = np.random.default_rng(0)
        for labels in LABELS:
            for _ in range(DRAWS):
                known = rng.permutation(len(sample))[:labels]
                rest = np.setdiff1d(np.arange(len(numbers)), known)
                lesson = learn(scores[known], mass[known], accuracy[known])
                assert lesson is not None
                anew = lesson.model.predict(scores[rest], mass[rest], lesson.domain)
                by_score, by_model = (kendalltau(each, accuracy[rest]).statistic for each in (scores[rest], anew))
                used = by_model if lesson.is_better else by_score
                rows.append((model, labels, by_score, by_model, used, lesson.is_better))
    table = pd.DataFrame(rows, columns=["model", "labels", "log-mass", "model always", "as rerank does", "used"])
    print(table.groupby(["model", "labels"]).mean().round(2).to_string())


if __name__ == "__main__":
    main()
