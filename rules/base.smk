rule trace_network:
    output:
        "<results>/{experiment}/network.json",
    log:
        "<results>/logs/trace_network/{experiment}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
        runtime=minutes(10),
    params:
        cfg=stage(),
        code=code("trace_network"),
    script:
        "../scripts/trace_network.py"


rule train_base:
    input:
        unpack(initial_weights),
        data=data_file,
    output:
        base="<results>/{experiment}/seed{seed}/base.pt",
        history="<results>/{experiment}/seed{seed}/base_history.csv",
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
        cfg=stage("base", "device", "engine", "processes", "validation", published_weights=published_weights),
        code=code("train_base"),
    script:
        "../scripts/train_base.py"
