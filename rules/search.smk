rule sample_configs:
    input:
        network="<results>/{experiment}/network.json",
    output:
        "<results>/{experiment}/seed{seed}/configs.h5",
    log:
        "<results>/logs/sample_configs/{experiment}-seed{seed}.log",
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=8000,
        runtime=minutes(60),
    params:
        cfg=stage("space"),
        code=code("sample_configs"),
    script:
        "../scripts/sample_configs.py"


rule train_encoder:
    input:
        unpack(labels),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
    output:
        encoder="<results>/{experiment}/seed{seed}/{method}/encoder.pt",
        loss="<results>/{experiment}/seed{seed}/{method}/encoder_loss.csv",
    log:
        "<results>/logs/train_encoder/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=4000,
        runtime=minutes(4 * 60),
    params:
        cfg=stage("space", encoder=encoder_of),
        code=code("train_encoder"),
    script:
        "../scripts/train_encoder.py"


rule score_candidates:
    input:
        unpack(encoder_file),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs=candidates_of,
    output:
        "<results>/{experiment}/seed{seed}/{method}/scores.parquet",
    log:
        "<results>/logs/score_candidates/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=8000,
        runtime=minutes(4 * 60),
    params:
        cfg=stage("search", "space", method=score_settings),
        code=code("score_candidates"),
    script:
        "../scripts/score_candidates.py"


rule find_configs:
    input:
        unpack(encoder_file),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
    output:
        "<results>/{experiment}/seed{seed}/{method}/configs.h5",
    log:
        "<results>/logs/find_configs/{experiment}-seed{seed}-{method}.log",
    wildcard_constraints:
        method=finders(),
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=8000,
        runtime=minutes(60),
    params:
        cfg=stage(
            "search",
            "space",
            method=find_settings,
            top_m=lambda wildcards: experiment_of(wildcards)["refine"]["top_m"],
        ),
        code=code("find_configs"),
    script:
        "../scripts/find_configs.py"
