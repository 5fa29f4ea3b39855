rule draw_method:
    input:
        unpack(method_inputs),
        network="<results>/{experiment}/network.json",
        base=first_seed("base.pt"),
    output:
        png=report(
            "<results>/figures/method/{experiment}.png",
            caption="captions/method.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "method"},
        ),
        pdf="<results>/figures/method/{experiment}.pdf",
        provenance="<results>/figures/method/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_method/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered(
            {
                "score": find_settings(
                    Values(experiment=wildcards.experiment, method=first_search(wildcards.experiment))
                ),
                "method": first_search(wildcards.experiment),
                "found": experiment_of(wildcards)["search"]["found"],
                "refine": experiment_of(wildcards)["refine"],
                "seed": resolved["seeds"][0],
                "space": experiment_of(wildcards)["space"],
            }
        ),
        code=code("draw_method"),
    script:
        "../scripts/draw_method.py"


rule draw_sweeps:
    input:
        unpack(sweep_inputs),
    output:
        png=report(
            "<results>/figures/sweeps/{experiment}.png",
            caption="captions/sweeps.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "sweeps"},
        ),
        pdf="<results>/figures/sweeps/{experiment}.pdf",
        provenance="<results>/figures/sweeps/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_sweeps/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered(
            {
                "methods": methods_of(wildcards.experiment, "search"),
                "seeds": resolved["seeds"],
                "sizes": sweep_sizes(wildcards.experiment),
                "top_k": experiment_of(wildcards)["refine"]["top_k"],
            }
        ),
        code=code("draw_sweeps"),
    script:
        "../scripts/draw_sweeps.py"


rule draw_encoder_loss:
    input:
        lambda wildcards: [
            path
            for method in with_encoder(wildcards.experiment)
            for path in seed_paths(
                "<results>/{experiment}/seed{seed}/{method}/encoder_loss.csv",
                experiment=wildcards.experiment,
                method=method,
            )
        ],
    output:
        png=report(
            "<results>/figures/encoder_loss/{experiment}.png",
            caption="captions/encoder_loss.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "encoder loss"},
        ),
        pdf="<results>/figures/encoder_loss/{experiment}.pdf",
        provenance="<results>/figures/encoder_loss/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_encoder_loss/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered({"methods": with_encoder(wildcards.experiment), "seeds": resolved["seeds"]}),
        code=code("draw_encoder_loss"),
    script:
        "../scripts/draw_encoder_loss.py"


rule draw_scores:
    input:
        scores=of_searches("scores.parquet"),
        tuned=of_searches("topm.csv"),
        winners=of_searches("winner/metrics.json"),
    output:
        png=report(
            "<results>/figures/scores/{experiment}.png",
            caption="captions/scores.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "scores"},
        ),
        pdf="<results>/figures/scores/{experiment}.pdf",
        provenance="<results>/figures/scores/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_scores/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered(
            {
                "methods": methods_of(wildcards.experiment, "search"),
                "seed": resolved["seeds"][0],
            }
        ),
        code=code("draw_scores"),
    script:
        "../scripts/draw_scores.py"


rule draw_responses:
    input:
        network="<results>/{experiment}/network.json",
        base=first_seed("base.pt"),
        configs=first_seed("configs.h5"),
        encoders=of_encoders("encoder.pt"),
    output:
        png=report(
            "<results>/figures/responses/{experiment}.png",
            caption="captions/responses.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "responses"},
        ),
        pdf="<results>/figures/responses/{experiment}.pdf",
        provenance="<results>/figures/responses/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_responses/{experiment}.log",
    conda:
        "../envs/search.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        # Not `ordered`: methods stand in the figure as they stand in the config.
        cfg=lambda wildcards: {
            "network": ordered(problem.network_settings(experiment_of(wildcards), resolved["datasets"])),
            "scores": {
                method: ordered(score_settings(Values(experiment=wildcards.experiment, method=method)))
                for method in methods_of(wildcards.experiment, "search")
            },
            "seed": resolved["seeds"][0],
        },
        code=code("draw_responses"),
    script:
        "../scripts/draw_responses.py"


rule draw_embedding:
    input:
        network="<results>/{experiment}/network.json",
        base=first_seed("base.pt"),
        configs=first_seed("configs.h5"),
        candidates=encoder_candidates,
        encoders=of_encoders("encoder.pt"),
        tuned=of_encoders("topm.csv"),
        winners=of_encoders("winner/metrics.json"),
    output:
        png=report(
            "<results>/figures/embedding/{experiment}.png",
            caption="captions/embedding.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "embedding"},
        ),
        pdf="<results>/figures/embedding/{experiment}.pdf",
        provenance="<results>/figures/embedding/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_embedding/{experiment}.log",
    conda:
        "../envs/search.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered(
            {
                "encoders": {
                    method: encoders_of(wildcards.experiment)[method] for method in with_encoder(wildcards.experiment)
                },
                "methods": with_encoder(wildcards.experiment),
                "network": problem.network_settings(experiment_of(wildcards), resolved["datasets"]),
                "seed": resolved["seeds"][0],
            }
        ),
        code=code("draw_embedding"),
    script:
        "../scripts/draw_embedding.py"


rule draw_kept_channels:
    input:
        network="<results>/{experiment}/network.json",
        winners=of_methods("winner/network.json"),
    output:
        png=report(
            "<results>/figures/kept_channels/{experiment}.png",
            caption="captions/kept_channels.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "kept channels"},
        ),
        pdf="<results>/figures/kept_channels/{experiment}.pdf",
        provenance="<results>/figures/kept_channels/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_kept_channels/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered({"methods": methods_of(wildcards.experiment), "seed": resolved["seeds"][0]}),
        code=code("draw_kept_channels"),
    script:
        "../scripts/draw_kept_channels.py"


rule draw_accuracy_flops:
    input:
        base=first_seed("base.pt"),
        tuned=of_searches("topm.csv"),
        winners=of_methods("winner/metrics.json"),
        reported="config/reported/table3.csv",
    output:
        png=report(
            "<results>/figures/accuracy_flops/{experiment}.png",
            caption="captions/accuracy_flops.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "accuracy flops"},
        ),
        pdf="<results>/figures/accuracy_flops/{experiment}.pdf",
        provenance="<results>/figures/accuracy_flops/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_accuracy_flops/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered(
            {
                "methods": methods_of(wildcards.experiment),
                "reported": experiment_of(wildcards).get("reported"),
                "searches": methods_of(wildcards.experiment, "search"),
            }
        ),
        code=code("draw_accuracy_flops"),
    script:
        "../scripts/draw_accuracy_flops.py"


rule draw_learning_curves:
    input:
        base=first_seed("base_history.csv"),
        winners=of_methods("winner/history.csv"),
    output:
        png=report(
            "<results>/figures/learning_curves/{experiment}.png",
            caption="captions/learning_curves.rst",
            category="Figures",
            labels={"experiment": "{experiment}", "figure": "learning curves"},
        ),
        pdf="<results>/figures/learning_curves/{experiment}.pdf",
        provenance="<results>/figures/learning_curves/{experiment}.provenance.json",
    log:
        "<results>/logs/draw_learning_curves/{experiment}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=lambda wildcards: ordered(
            {
                "methods": methods_of(wildcards.experiment),
                "seed": resolved["seeds"][0],
            }
        ),
        code=code("draw_learning_curves"),
    script:
        "../scripts/draw_learning_curves.py"
