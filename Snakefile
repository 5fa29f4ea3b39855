"""Structure-aware automatic channel pruning: from data and a network to the paper's tables."""

from snakemake.utils import min_version

min_version("9.20")


include: "rules/reading.smk"


if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "rules/captions/workflow.rst"


include: "rules/common.smk"


wildcard_constraints:
    dataset="[a-z0-9_-]+",
    experiment="[a-z0-9_-]+",
    method="[a-z0-9-]+",
    seed=r"\d+",
    candidate=r"\d+",
    first=r"\d+",
    last=r"\d+",
    rung=r"\d+",
    repeat=r"\d+",
    set="training|search",


include: "rules/data.smk"
include: "rules/base.smk"
include: "rules/search.smk"
include: "rules/refine.smk"
include: "rules/baselines.smk"
include: "rules/predictors.smk"
include: "rules/report.smk"
include: "rules/figures.smk"
include: "rules/forecast.smk"


# Seconds of work without torch's share: not worth a place in a cluster's queue.
localrules:
    make_table1,
    make_table4,
    rank_rung,
    rank_tuned,
    select_winner,
    write_protocol,


# Of a run alone: neither dry runs nor the jobs of a cluster come here.
onstart:
    for left in remove_left_over(resolved["pathvars"]["results"]):
        print(f"removed {left}, which a killed job had left", file=sys.stderr)


rule all:
    default_target: True
    input:
        paths.tables(),
        paths.figures(),
        paths.exports(),
        "<results>/summary.html",
