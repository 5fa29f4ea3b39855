rule train_sparse:
    input:
        data=data_file,
        base="<results>/{experiment}/seed{seed}/base.pt",
    output:
        sparse="<results>/{experiment}/seed{seed}/sparse.pt",
        history="<results>/{experiment}/seed{seed}/sparse_history.csv",
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
        cfg=stage("device", "engine", "processes", "sparse", "validation"),
        code=code("train_sparse"),
    script:
        "../scripts/train_sparse.py"


rule search_colony:
    input:
        data=data_file,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        winner=matched_metrics,
    output:
        kept="<results>/{experiment}/seed{seed}/{method}/kept/{candidate}.json",
        tuned="<results>/{experiment}/seed{seed}/{method}/kept/{candidate}.csv",
    log:
        "<results>/logs/search_colony/{experiment}-seed{seed}-{method}-{candidate}.log",
    wildcard_constraints:
        method=names_of_kind("colony"),
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(24 * 60),
        gpu=gpus(1),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stage("colony", "device", "engine", "tune", "validation"),
        code=code("search_colony"),
    script:
        "../scripts/search_colony.py"


rule select_baseline:
    input:
        unpack(selection_inputs),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        winner=matched_metrics,
    output:
        "<results>/{experiment}/seed{seed}/{method}/kept/{candidate}.json",
    log:
        "<results>/logs/select_baseline/{experiment}-seed{seed}-{method}-{candidate}.log",
    wildcard_constraints:
        method=names_of_kind("uniform", "random", "slimming"),
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
        runtime=minutes(30),
    params:
        cfg=stage(
            "space",
            "validation",
            kind=lambda wildcards: method_of(wildcards)["kind"],
            criterion=lambda wildcards: method_of(wildcards).get("criterion", "l1"),
        ),
        code=code("select_baseline"),
    script:
        "../scripts/select_baseline.py"
