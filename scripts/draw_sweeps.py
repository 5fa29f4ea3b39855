"""Figure 2: the winner's accuracy against k and against m, means and deviations over seeds."""

from pathlib import Path

import numpy as np
from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.report.search_figures import Sweep, sweep_figure
from sacp.training.ranking import known, load_tuned, sweep
from safetensors import safe_open

with job.running(snakemake) as work:
    trained = {}
    for path in map(Path, known(work.given.get("trained"))):
        trained.setdefault(path.parents[1], {})[int(path.parent.name)] = read_json(path)
    sizes, k, seeds = work.cfg["sizes"], work.cfg["top_k"], work.cfg["seeds"]
    m, ks = sizes[-1], range(1, k + 1)
    by_k, by_m, paths = {}, {}, iter(map(Path, work.given.tuned))
    for method in work.cfg["methods"]:
        runs = [(load_tuned(path), trained[path.parent / "topk"]) for path in (next(paths) for _ in seeds)]
        by_k[method] = Sweep(list(ks), *np.moveaxis([sweep(*run, [(m, each) for each in ks]) for run in runs], 2, 0))
        by_m[method] = Sweep(sizes, *np.moveaxis([sweep(*run, [(each, k) for each in sizes]) for run in runs], 2, 0))
    number = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    fixed = f"left at m = {m}, right at k = {k}" if len(sizes) > 1 else f"m = {m}"
    with safe_open(work.given.data, "np") as data:
        (test_images,) = data.get_slice("test_labels").get_shape()
    title = f"{work.wildcards.experiment}: {fixed}, {number}"
    sweep_figure([Path(work.out.png), Path(work.out.pdf)], title, by_k, by_m, test_images)
