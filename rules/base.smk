rule trace_network:
    output:
        network="<results>/{experiment}/network.json",
        provenance="<results>/{experiment}/network.provenance.json",
    log:
        "<results>/logs/trace_network/{experiment}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
        runtime=minutes(10),
    params:
        cfg=stages.trace,
        code=code("trace_network", stages.trace),
    script:
        "../scripts/trace_network.py"


rule train_base:
    input:
        unpack(paths.weights),
        data=paths.data,
    output:
        base="<results>/{experiment}/seed{seed}/base.pt",
        metrics="<results>/{experiment}/seed{seed}/base_metrics.json",
        history="<results>/{experiment}/seed{seed}/base_history.csv",
        provenance="<results>/{experiment}/seed{seed}/base.provenance.json",
    log:
        "<results>/logs/train_base/{experiment}-seed{seed}.log",
    conda:
        "../envs/training.yaml"
    threads: max(resolved["threads_base"], resolved["processes"])
    resources:
        mem_mb=8000,
        runtime=minutes(24 * 60),
        gpu=gpus(resolved["processes"]),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.base,
        code=code("train_base", stages.base),
    script:
        "../scripts/train_base.py"
