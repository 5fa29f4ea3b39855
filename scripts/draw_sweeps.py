"""Figure 2: the winner's accuracy against k and against m, means and deviations over seeds."""

from pathlib import Path

import numpy as np
from sacp import files, job, provenance, ranking, search_figures

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    trained = {Path(path).parents[1]: {} for path in snakemake.input.trained}
    for path in map(Path, snakemake.input.trained):
        trained[path.parents[1]][int(path.parent.name)] = files.read_json(path)
    m, k = cfg["sizes"][-1], cfg["top_k"]
    ks = range(1, k + 1)
    found = {"by_k": {}, "by_m": {}}
    for name, sizes, pairs in (
        ("by_k", ks, [(m, each) for each in ks]),
        ("by_m", cfg["sizes"], [(each, k) for each in cfg["sizes"]]),
    ):
        paths = iter(map(Path, snakemake.input.tuned))
        for method in cfg["methods"]:
            runs = [
                ranking.sweep(ranking.load_tuned(path), trained[path.parent / "topk"], pairs)
                for path in (next(paths) for _ in cfg["seeds"])
            ]
            found[name][method] = search_figures.Sweep(list(sizes), np.array(runs))
    outputs = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    seeds = f"{len(cfg['seeds'])} seeds" if len(cfg["seeds"]) > 1 else "one seed"
    title = f"{snakemake.wildcards.experiment}: left at m = {m}, right at k = {k}, {seeds}"
    search_figures.sweep_figure(outputs, title, **found)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
