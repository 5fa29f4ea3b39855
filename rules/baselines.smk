rule train_sparse:
    input:
        data=paths.data,
        base="<results>/{experiment}/seed{seed}/base.pt",
    output:
        sparse="<results>/{experiment}/seed{seed}/sparse.pt",
        history="<results>/{experiment}/seed{seed}/sparse_history.csv",
        provenance="<results>/{experiment}/seed{seed}/sparse.provenance.json",
    log:
        "<results>/logs/train_sparse/{experiment}-seed{seed}.log",
    conda:
        "../envs/training.yaml"
    threads: max(resolved["threads_base"], resolved["processes"])
    resources:
        mem_mb=8000,
        runtime=minutes(24 * 60),
        gpu=gpus(resolved["processes"]),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.sparse,
        code=code("train_sparse", stages.sparse),
    script:
        "../scripts/train_sparse.py"


checkpoint search_colony:
    input:
        data=paths.data,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        winner=paths.matched,
    output:
        kept="<results>/{experiment}/seed{seed}/{method}/kept.json",
        judged="<results>/{experiment}/seed{seed}/{method}/judged.csv",
        provenance="<results>/{experiment}/seed{seed}/{method}/kept.provenance.json",
    log:
        "<results>/logs/search_colony/{experiment}-seed{seed}-{method}.log",
    wildcard_constraints:
        method=experiments.made_by("search_colony"),
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(24 * 60),
        gpu=gpus(1),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.colony,
        code=code("search_colony", stages.colony),
    script:
        "../scripts/search_colony.py"


checkpoint select_baseline:
    input:
        unpack(paths.selection_inputs),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        winner=paths.matched,
    output:
        kept="<results>/{experiment}/seed{seed}/{method}/kept.json",
        provenance="<results>/{experiment}/seed{seed}/{method}/kept.provenance.json",
    log:
        "<results>/logs/select_baseline/{experiment}-seed{seed}-{method}.log",
    wildcard_constraints:
        method=experiments.made_by("select_baseline"),
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
        runtime=minutes(30),
    params:
        cfg=stages.baseline,
        code=code("select_baseline", stages.baseline),
    script:
        "../scripts/select_baseline.py"


# Baselines that train while they choose, or evaluate many networks: `sacp.baselines.learning` says how to add one.
checkpoint train_baseline:
    input:
        data=paths.data,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        winner=paths.matched,
    output:
        kept="<results>/{experiment}/seed{seed}/{method}/kept.json",
        judged="<results>/{experiment}/seed{seed}/{method}/judged.csv",
        history="<results>/{experiment}/seed{seed}/{method}/history.csv",
        own="<results>/{experiment}/seed{seed}/{method}/own.pt",
        provenance="<results>/{experiment}/seed{seed}/{method}/kept.provenance.json",
    log:
        "<results>/logs/train_baseline/{experiment}-seed{seed}-{method}.log",
    wildcard_constraints:
        method=experiments.made_by("train_baseline"),
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(24 * 60),
        gpu=gpus(1),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.training_baseline,
        code=code("train_baseline", stages.training_baseline),
    script:
        "../scripts/train_baseline.py"
