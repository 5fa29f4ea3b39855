rule sample_configs:
    input:
        network="<results>/{experiment}/network.json",
    output:
        configs="<results>/{experiment}/seed{seed}/configs.h5",
        provenance="<results>/{experiment}/seed{seed}/configs.provenance.json",
    log:
        "<results>/logs/sample_configs/{experiment}-seed{seed}.log",
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=8000,
        runtime=minutes(60),
    params:
        cfg=lambda wildcards: stages.parts(wildcards, "space"),
        code=code("sample_configs"),
    script:
        "../scripts/sample_configs.py"


rule train_encoder:
    input:
        unpack(paths.labels),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
    output:
        encoder="<results>/{experiment}/seed{seed}/{method}/encoder.pt",
        loss="<results>/{experiment}/seed{seed}/{method}/encoder_loss.csv",
        provenance="<results>/{experiment}/seed{seed}/{method}/encoder.provenance.json",
    log:
        "<results>/logs/train_encoder/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=4000,
        runtime=minutes(4 * 60),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.encoder,
        code=code("train_encoder", stages.encoder),
    script:
        "../scripts/train_encoder.py"


rule measure_sensitivity:
    input:
        data=paths.data,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
    output:
        sensitivity="<results>/{experiment}/seed{seed}/sensitivity.json",
        provenance="<results>/{experiment}/seed{seed}/sensitivity.provenance.json",
    log:
        "<results>/logs/measure_sensitivity/{experiment}-seed{seed}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(4 * 60),
        gpu=gpus(1),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.sensitivity,
        code=code("measure_sensitivity", stages.sensitivity),
    script:
        "../scripts/measure_sensitivity.py"


rule score_candidates:
    input:
        unpack(paths.scorer),
        unpack(paths.matched_winner),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs=paths.candidates,
    output:
        scores="<results>/{experiment}/seed{seed}/{method}/scores.parquet",
        provenance="<results>/{experiment}/seed{seed}/{method}/scores.provenance.json",
    log:
        "<results>/logs/score_candidates/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=8000,
        runtime=minutes(4 * 60),
    params:
        cfg=stages.scoring,
        code=code("score_candidates", stages.scoring),
    script:
        "../scripts/score_candidates.py"


rule find_configs:
    input:
        unpack(paths.scorer),
        unpack(paths.matched_winner),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
    output:
        configs="<results>/{experiment}/seed{seed}/{method}/configs.h5",
        provenance="<results>/{experiment}/seed{seed}/{method}/configs.provenance.json",
    log:
        "<results>/logs/find_configs/{experiment}-seed{seed}-{method}.log",
    wildcard_constraints:
        method=experiments.finders(),
    conda:
        "../envs/search.yaml"
    threads: resolved["threads_base"]
    resources:
        mem_mb=8000,
        runtime=minutes(60),
    params:
        cfg=stages.find,
        code=code("find_configs", stages.find),
    script:
        "../scripts/find_configs.py"
