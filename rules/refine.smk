rule tune_shard:
    input:
        data=paths.data,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs=paths.candidates,
        scores=paths.ranks,
    output:
        tuned="<results>/{experiment}/seed{seed}/{method}/topm/{first}-{last}.csv",
        history="<results>/{experiment}/seed{seed}/{method}/topm/{first}-{last}.history.csv",
        provenance="<results>/{experiment}/seed{seed}/{method}/topm/{first}-{last}.provenance.json",
    log:
        "<results>/logs/tune_shard/{experiment}-seed{seed}-{method}-{first}-{last}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(12 * 60),
        gpu=gpus(1),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.tuning,
        code=code("tune_shard", stages.tuning),
    script:
        "../scripts/tune_shard.py"


rule tune_rung:
    input:
        unpack(paths.into_rung),
        data=paths.data,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs=paths.candidates,
    output:
        tuned="<results>/{experiment}/seed{seed}/{method}/topm/rung{rung}/{first}-{last}.csv",
        history="<results>/{experiment}/seed{seed}/{method}/topm/rung{rung}/{first}-{last}.history.csv",
        # Weights and momentum of all candidates of the shard: large, and of no use when the next rung is tuned.
        states=temp("<results>/{experiment}/seed{seed}/{method}/topm/rung{rung}/{first}-{last}.states.zip"),
        provenance="<results>/{experiment}/seed{seed}/{method}/topm/rung{rung}/{first}-{last}.provenance.json",
    log:
        "<results>/logs/tune_rung/{experiment}-seed{seed}-{method}-{rung}-{first}-{last}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(12 * 60),
        gpu=gpus(1),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.rung,
        code=code("tune_rung", stages.rung),
    script:
        "../scripts/tune_rung.py"


rule rank_rung:
    input:
        shards=paths.rung,
    output:
        kept="<results>/{experiment}/seed{seed}/{method}/topm/rung{rung}/kept.csv",
        dropped="<results>/{experiment}/seed{seed}/{method}/topm/rung{rung}/dropped.csv",
        provenance="<results>/{experiment}/seed{seed}/{method}/topm/rung{rung}/kept.provenance.json",
    log:
        "<results>/logs/rank_rung/{experiment}-seed{seed}-{method}-{rung}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        code=code("rank_rung"),
    script:
        "../scripts/rank_rung.py"


rule rescore_candidates:
    input:
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs=paths.candidates,
        scores="<results>/{experiment}/seed{seed}/{method}/scores.parquet",
        tuned=paths.labelled_shards,
    output:
        scores="<results>/{experiment}/seed{seed}/{method}/rescored.parquet",
        provenance="<results>/{experiment}/seed{seed}/{method}/rescored.provenance.json",
    log:
        "<results>/logs/rescore_candidates/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=8000,
        runtime=minutes(60),
    params:
        cfg=stages.reranking,
        code=code("rescore_candidates", stages.reranking),
    script:
        "../scripts/rescore_candidates.py"


rule tune_sample:
    input:
        data=paths.data,
        network="<results>/{experiment}/network.json",
        base="<results>/{experiment}/seed{seed}/base.pt",
        configs="<results>/{experiment}/seed{seed}/configs.h5",
    output:
        tuned="<results>/{experiment}/seed{seed}/sample/{set}/repeat{repeat}/{first}-{last}.csv",
        history="<results>/{experiment}/seed{seed}/sample/{set}/repeat{repeat}/{first}-{last}.history.csv",
        provenance="<results>/{experiment}/seed{seed}/sample/{set}/repeat{repeat}/{first}-{last}.provenance.json",
    log:
        "<results>/logs/tune_sample/{experiment}-seed{seed}-{set}-{repeat}-{first}-{last}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(12 * 60),
        gpu=gpus(1),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.sample,
        code=code("tune_shard", stages.sample),
    script:
        "../scripts/tune_shard.py"


checkpoint rank_tuned:
    input:
        shards=paths.shards,
        # Records change whenever shards are tuned, so that this job runs then, and those that wait for it are told.
        records=paths.shard_records,
    output:
        tuned="<results>/{experiment}/seed{seed}/{method}/topm.csv",
        provenance="<results>/{experiment}/seed{seed}/{method}/topm.provenance.json",
    log:
        "<results>/logs/rank_tuned/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        code=code("rank_tuned"),
    script:
        "../scripts/rank_tuned.py"


rule train_candidate:
    input:
        unpack(paths.selection),
        data=paths.data,
        network="<results>/{experiment}/network.json",
        base=paths.inherited,
    output:
        metrics="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/metrics.json",
        history="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/history.csv",
        weights="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/network.safetensors",
        description="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/network.json",
        provenance="<results>/{experiment}/seed{seed}/{method}/topk/{candidate}/provenance.json",
    log:
        "<results>/logs/train_candidate/{experiment}-seed{seed}-{method}-{candidate}.log",
    conda:
        "../envs/training.yaml"
    threads: resolved["threads"] * resolved["processes"]
    resources:
        mem_mb=8000,
        runtime=minutes(24 * 60),
        gpu=gpus(resolved["processes"]),
        save_seconds=str(resolved["save_seconds"]),
    params:
        cfg=stages.candidate,
        code=code("train_candidate", stages.candidate),
    script:
        "../scripts/train_candidate.py"


rule write_protocol:
    output:
        protocol="<results>/{experiment}/seed{seed}/{method}/protocol.json",
        provenance="<results>/{experiment}/seed{seed}/{method}/protocol.provenance.json",
    log:
        "<results>/logs/write_protocol/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=protocol_settings,
        code=code("write_protocol"),
    script:
        "../scripts/write_protocol.py"


checkpoint select_winner:
    input:
        protocol="<results>/{experiment}/seed{seed}/{method}/protocol.json",
        ranked=paths.ranked,
        judged=paths.judged,
        trained=choices.trained,
        records=choices.trained_records,
    output:
        metrics="<results>/{experiment}/seed{seed}/{method}/winner/metrics.json",
        cost="<results>/{experiment}/seed{seed}/{method}/winner/cost.json",
        history="<results>/{experiment}/seed{seed}/{method}/winner/history.csv",
        weights="<results>/{experiment}/seed{seed}/{method}/winner/network.safetensors",
        description="<results>/{experiment}/seed{seed}/{method}/winner/network.json",
        provenance="<results>/{experiment}/seed{seed}/{method}/winner/provenance.json",
    log:
        "<results>/logs/select_winner/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        code=code("select_winner"),
    script:
        "../scripts/select_winner.py"


rule measure_latency:
    input:
        unpack(paths.timed),
        base="<results>/{experiment}/seed{seed}/base.pt",
    output:
        latency="<results>/{experiment}/seed{seed}/latency.csv",
        provenance="<results>/{experiment}/seed{seed}/latency.provenance.json",
    log:
        "<results>/logs/measure_latency/{experiment}-seed{seed}.log",
    conda:
        "../envs/export.yaml"
    threads: resolved["threads"]
    resources:
        mem_mb=8000,
        runtime=minutes(4 * 60),
        gpu=gpus(1),
    params:
        cfg=stages.latency,
        code=code("measure_latency", stages.latency),
    script:
        "../scripts/measure_latency.py"


rule export_winner:
    input:
        weights="<results>/{experiment}/seed{seed}/{method}/winner/network.safetensors",
        description="<results>/{experiment}/seed{seed}/{method}/winner/network.json",
    output:
        model="<results>/{experiment}/seed{seed}/{method}/winner/export/network.onnx",
        program="<results>/{experiment}/seed{seed}/{method}/winner/export/network.pt2",
        weights="<results>/{experiment}/seed{seed}/{method}/winner/export/network.safetensors",
        description="<results>/{experiment}/seed{seed}/{method}/winner/export/network.json",
        provenance="<results>/{experiment}/seed{seed}/{method}/winner/export/provenance.json",
    log:
        "<results>/logs/export_winner/{experiment}-seed{seed}-{method}.log",
    conda:
        "../envs/export.yaml"
    resources:
        mem_mb=8000,
        runtime=minutes(60),
    params:
        cfg=stages.network,
        code=code("export_winner", stages.network),
    script:
        "../scripts/export_winner.py"
