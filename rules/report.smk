rule make_table1:
    input:
        "config/reported/table1.csv",
    output:
        csv="<results>/tables/table1.csv",
        markdown="<results>/tables/table1.md",
        latex="<results>/tables/table1.tex",
        provenance="<results>/tables/table1.provenance.json",
    log:
        "<results>/logs/make_table1.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        code=code("make_table1"),
    script:
        "../scripts/make_table1.py"


rule make_table3:
    input:
        unpack(table_inputs()),
        reported="config/reported/table3.csv",
    output:
        csv="<results>/tables/table3.csv",
        markdown="<results>/tables/table3.md",
        latex="<results>/tables/table3.tex",
        provenance="<results>/tables/table3.provenance.json",
    log:
        "<results>/logs/make_table3.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg={
            "models": {
                name: {"methods": methods_of(name), "reported": experiment.get("reported")}
                for name, experiment in resolved["experiments"].items()
            },
            "seeds": resolved["seeds"],
        },
        code=code("make_table3"),
    script:
        "../scripts/make_table3.py"


rule make_table4:
    input:
        unpack(table_inputs("search", "tuned")),
        reported="config/reported/table4.csv",
    output:
        csv="<results>/tables/table4.csv",
        markdown="<results>/tables/table4.md",
        latex="<results>/tables/table4.tex",
        provenance="<results>/tables/table4.provenance.json",
    log:
        "<results>/logs/make_table4.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg={
            "models": {
                name: {
                    "methods": {
                        method: {
                            key: value
                            for key, value in experiment["methods"][method].items()
                            if key in ("kind", "labels")
                        }
                        for method in methods_of(name, "search", "tuned")
                    },
                    "reported": experiment.get("reported"),
                }
                for name, experiment in resolved["experiments"].items()
            },
            "seeds": resolved["seeds"],
        },
        code=code("make_table4"),
    script:
        "../scripts/make_table4.py"


rule draw_accuracy_flops:
    input:
        unpack(figure_inputs),
    output:
        png="<results>/figures/accuracy_flops/{experiment}.png",
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
        cfg=lambda wildcards: {
            "methods": methods_of(wildcards.experiment),
            "searches": methods_of(wildcards.experiment, "search"),
        },
        code=code("draw_accuracy_flops"),
    script:
        "../scripts/draw_accuracy_flops.py"


rule draw_learning_curves:
    input:
        unpack(histories),
    output:
        png="<results>/figures/learning_curves/{experiment}.png",
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
        cfg=lambda wildcards: {
            "methods": methods_of(wildcards.experiment),
            "seed": resolved["seeds"][0],
        },
        code=code("draw_learning_curves"),
    script:
        "../scripts/draw_learning_curves.py"
