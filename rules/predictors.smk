rule probe_sample:
    input:
        data=data_file,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
    output:
        csv="<results>/{experiment}/seed{seed}/sample/search/probes.csv",
        provenance="<results>/{experiment}/seed{seed}/sample/search/probes.provenance.json",
    log:
        "<results>/logs/probe_sample/{experiment}-seed{seed}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(4 * 60),
        gpu=gpus(1),
    params:
        cfg=stage("device", "validation", sample=lambda wildcards: predictors_of(wildcards)["sample"]),
        code=code("probe_sample"),
    script:
        "../scripts/probe_sample.py"


rule collect_predictors:
    input:
        unpack(predictor_inputs),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
        probes="<results>/{experiment}/seed{seed}/sample/search/probes.csv",
    output:
        csv="<results>/{experiment}/seed{seed}/predictors.csv",
        provenance="<results>/{experiment}/seed{seed}/predictors.provenance.json",
    log:
        "<results>/logs/collect_predictors/{experiment}-seed{seed}.log",
    conda:
        "../envs/search.yaml"
    resources:
        mem_mb=4000,
        runtime=minutes(30),
    params:
        cfg=stage(
            sample=lambda wildcards: predictors_of(wildcards)["sample"],
            repeats=lambda wildcards: predictors_of(wildcards)["repeats"],
            encoders=lambda wildcards: encoders_of(wildcards.experiment),
        ),
        code=code("collect_predictors"),
    script:
        "../scripts/collect_predictors.py"


rule make_predictors:
    input:
        [
            path
            for experiment in studied()
            for path in seed_paths("<results>/{experiment}/seed{seed}/predictors.csv", experiment=experiment)
        ],
    output:
        csv=report(
            "<results>/tables/predictors.csv",
            caption="captions/predictors.rst",
            category="Tables",
            labels={"table": "predictors"},
        ),
        markdown="<results>/tables/predictors.md",
        latex="<results>/tables/predictors.tex",
        raw="<results>/tables/predictors_raw.csv",
        provenance="<results>/tables/predictors.provenance.json",
    log:
        "<results>/logs/make_predictors.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(60),
    params:
        cfg=resolved["predictors"],
        code=code("make_predictors"),
    script:
        "../scripts/make_predictors.py"
