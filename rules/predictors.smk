rule probe_sample:
    input:
        data=paths.data,
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
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.probes,
        code=code("probe_sample", stages.probes),
    script:
        "../scripts/probe_sample.py"


rule collect_predictors:
    input:
        unpack(paths.predictors),
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
        cfg=stages.predictors,
        code=code("collect_predictors", stages.predictors),
    script:
        "../scripts/collect_predictors.py"


rule make_predictors:
    input:
        paths.studied(),
    output:
        **table("predictors"),
        raw="<results>/tables/predictors_raw.csv",
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
