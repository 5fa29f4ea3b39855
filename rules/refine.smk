def shards(wildcards):
    """Shards of the m best by rank; raising m adds shards and renames none but a last one that was cut short."""
    refine = experiment_of(wildcards)["refine"]
    m, size = refine["top_m"], refine["shard_size"]
    return [
        f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{wildcards.method}/topm/"
        f"{first:03d}-{min(first + size, m) - 1:03d}.csv"
        for first in range(0, m, size)
    ]


def selection(wildcards):
    """Where the kept channels come from: a candidate's from the search set, a baseline's from its own file."""
    seed_folder = f"<results>/{wildcards.experiment}/seed{wildcards.seed}"
    if method_of(wildcards)["kind"] == "search":
        return {"configs": f"{seed_folder}/configs.h5"}
    return {"kept": f"{seed_folder}/{wildcards.method}/kept.json"}


def trained_candidates(wildcards):
    """Metrics of the k fully trained candidates, known once the m are tuned; a baseline has one, number 0."""
    candidates = [0]
    if method_of(wildcards)["kind"] == "search":
        with open(checkpoints.rank_tuned.get(**wildcards).output[0]) as handle:
            rows = handle.read().splitlines()[1:]
        candidates = [row.split(",")[0] for row in rows[: experiment_of(wildcards)["refine"]["top_k"]]]
    return [
        f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{wildcards.method}/topk/{candidate}/metrics.json"
        for candidate in candidates
    ]


rule tune_shard:
    input:
        data=data_file,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
        scores="<results>/{experiment}/seed{seed}/{method}/scores.parquet",
    output:
        tuned="<results>/{experiment}/seed{seed}/{method}/topm/{first}-{last}.csv",
        provenance="<results>/{experiment}/seed{seed}/{method}/topm/{first}-{last}.provenance.json",
    log:
        "<results>/logs/tune_shard/{experiment}-seed{seed}-{method}-{first}-{last}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=12 * 60,
        gpu=1,
    params:
        cfg=stage("device", "tune", "validation"),
        code=code("tune_shard"),
    script:
        "../scripts/tune_shard.py"


checkpoint rank_tuned:
    input:
        shards,
    output:
        "<results>/{experiment}/seed{seed}/{method}/topm.csv",
    log:
        "<results>/logs/rank_tuned/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("rank_tuned"),
    script:
        "../scripts/rank_tuned.py"


rule train_candidate:
    input:
        unpack(selection),
        data=data_file,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
    output:
        metrics="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/metrics.json",
        history="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/history.csv",
        weights="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/network.safetensors",
        description="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/network.json",
    log:
        "<results>/logs/train_candidate/{experiment}-seed{seed}-{method}-{candidate}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=24 * 60,
        gpu=1,
    params:
        cfg=stage("device", "full", "validation"),
        code=code("train_candidate"),
    script:
        "../scripts/train_candidate.py"


rule select_winner:
    input:
        trained_candidates,
    output:
        metrics="<results>/{experiment}/seed{seed}/{method}/winner/metrics.json",
        weights="<results>/{experiment}/seed{seed}/{method}/winner/network.safetensors",
        description="<results>/{experiment}/seed{seed}/{method}/winner/network.json",
    log:
        "<results>/logs/select_winner/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("select_winner"),
    script:
        "../scripts/select_winner.py"
