rule select_baseline:
    input:
        unpack(criterion_images),
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        winner=matched_metrics,
    output:
        "<results>/{experiment}/seed{seed}/{method}/kept/{candidate}.json",
    log:
        "<results>/logs/select_baseline/{experiment}-seed{seed}-{method}-{candidate}.log",
    conda:
        "../envs/search.yaml"
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
