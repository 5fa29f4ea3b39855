rule draw_method:
    input:
        unpack(paths.first_winner),
        network="<results>/{experiment}/network.json",
        base=paths.first_seed("base_metrics.json"),
    output:
        **figure("method"),
    log:
        "<results>/logs/draw_method/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=stages.method_figure,
        code=code("draw_method"),
    script:
        "../scripts/draw_method.py"


rule draw_sweeps:
    input:
        unpack(choices.sweep),
        data=paths.data,
    output:
        **figure("sweeps"),
    log:
        "<results>/logs/draw_sweeps/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=stages.sweeps,
        code=code("draw_sweeps"),
    script:
        "../scripts/draw_sweeps.py"


rule draw_encoder_loss:
    input:
        paths.encoder_losses,
    output:
        **figure("encoder_loss"),
    log:
        "<results>/logs/draw_encoder_loss/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=stages.encoder_losses,
        code=code("draw_encoder_loss"),
    script:
        "../scripts/draw_encoder_loss.py"


rule draw_scores:
    input:
        scores=paths.of_methods("scores.parquet", experiments.searches),
        tuned=paths.of_methods("topm.csv", experiments.searches),
        winners=paths.of_methods("winner/metrics.json", experiments.searches),
    output:
        **figure("scores"),
    log:
        "<results>/logs/draw_scores/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=stages.searches,
        code=code("draw_scores"),
    script:
        "../scripts/draw_scores.py"


rule draw_responses:
    input:
        unpack(paths.first_sensitivity),
        network="<results>/{experiment}/network.json",
        base=paths.first_seed("base.pt"),
        configs=paths.first_seed("configs.h5"),
        encoders=paths.of_methods("encoder.pt", experiments.with_encoder),
    output:
        **figure("responses"),
    log:
        "<results>/logs/draw_responses/{experiment}.log",
    conda:
        "../envs/search.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=stages.responses,
        code=code("draw_responses", stages.responses),
    script:
        "../scripts/draw_responses.py"


rule draw_embedding:
    input:
        network="<results>/{experiment}/network.json",
        base=paths.first_seed("base.pt"),
        configs=paths.first_seed("configs.h5"),
        candidates=paths.encoder_candidates,
        encoders=paths.of_methods("encoder.pt", experiments.with_encoder),
        tuned=paths.of_methods("topm.csv", experiments.with_encoder),
        winners=paths.of_methods("winner/metrics.json", experiments.with_encoder),
    output:
        **figure("embedding"),
    log:
        "<results>/logs/draw_embedding/{experiment}.log",
    conda:
        "../envs/search.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=stages.embedding,
        code=code("draw_embedding", stages.embedding),
    script:
        "../scripts/draw_embedding.py"


rule draw_kept_channels:
    input:
        network="<results>/{experiment}/network.json",
        winners=paths.of_methods("winner/network.json", experiments.methods),
    output:
        **figure("kept_channels"),
    log:
        "<results>/logs/draw_kept_channels/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=stages.methods,
        code=code("draw_kept_channels"),
    script:
        "../scripts/draw_kept_channels.py"


rule draw_accuracy_flops:
    input:
        base=paths.first_seed("base_metrics.json"),
        tuned=paths.of_methods("topm.csv", experiments.searches),
        winners=paths.of_methods("winner/metrics.json", experiments.methods),
        reported="config/reported/table3.csv",
    output:
        **figure("accuracy_flops"),
    log:
        "<results>/logs/draw_accuracy_flops/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=stages.accuracy_flops,
        code=code("draw_accuracy_flops"),
    script:
        "../scripts/draw_accuracy_flops.py"


rule draw_latency:
    input:
        latency=paths.first_seed("latency.csv"),
        base=paths.first_seed("base_metrics.json"),
        winners=paths.of_methods("winner/metrics.json", experiments.methods),
    output:
        **figure("latency"),
    log:
        "<results>/logs/draw_latency/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=stages.methods,
        code=code("draw_latency"),
    script:
        "../scripts/draw_latency.py"


rule draw_learning_curves:
    input:
        base=paths.first_seed("base_history.csv"),
        winners=paths.of_methods("winner/history.csv", experiments.methods),
    output:
        **figure("learning_curves"),
    log:
        "<results>/logs/draw_learning_curves/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=stages.methods,
        code=code("draw_learning_curves"),
    script:
        "../scripts/draw_learning_curves.py"


rule draw_accuracy_latency:
    input:
        latency=paths.first_seed("latency.csv"),
        base=paths.first_seed("base_metrics.json"),
        winners=paths.of_methods("winner/metrics.json", experiments.methods),
    output:
        **figure("accuracy_latency"),
    log:
        "<results>/logs/draw_accuracy_latency/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=stages.methods,
        code=code("draw_accuracy_latency"),
    script:
        "../scripts/draw_accuracy_latency.py"


rule draw_accuracy_cost:
    input:
        table="<results>/tables/table3.csv",
    output:
        **figure("accuracy_cost"),
    log:
        "<results>/logs/draw_accuracy_cost/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        code=code("draw_accuracy_cost"),
    script:
        "../scripts/draw_accuracy_cost.py"


rule draw_predictors:
    input:
        table="<results>/tables/predictors.csv",
    output:
        **figure("predictors"),
    log:
        "<results>/logs/draw_predictors/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        code=code("draw_predictors"),
    script:
        "../scripts/draw_predictors.py"
