def matched_winner(wildcards):
    match = method_of(wildcards)["match"]
    return f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{match}/winner/metrics.json"


rule select_baseline:
    input:
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        winner=matched_winner,
    output:
        "<results>/{experiment}/seed{seed}/{method}/kept.json",
    log:
        "<results>/logs/select_baseline/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/search.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        cfg=stage("space", kind=lambda wildcards: method_of(wildcards)["kind"]),
        code=code("select_baseline"),
    script:
        "../scripts/select_baseline.py"
