rule make_table1:
    input:
        "config/reported/table1.csv",
    output:
        csv=report(
            "<results>/tables/table1.csv",
            caption="captions/table1.rst",
            category="Tables",
            labels={"table": "table1"},
        ),
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
        csv=report(
            "<results>/tables/table3.csv",
            caption="captions/table3.rst",
            category="Tables",
            labels={"table": "table3"},
        ),
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
        csv=report(
            "<results>/tables/table4.csv",
            caption="captions/table4.rst",
            category="Tables",
            labels={"table": "table4"},
        ),
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
        # Not `ordered`: experiments and methods stand in the table as they stand in the config.
        cfg={
            "models": {
                name: {
                    "methods": {
                        method: {
                            key: experiment["methods"][method][key]
                            for key in ("kind", "labels")
                            if key in experiment["methods"][method]
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


rule make_summary:
    input:
        unpack(summary_inputs),
        artefacts=summary_artefacts,
    output:
        html=report(
            "<results>/summary.html", caption="captions/summary.rst", category="Summary", labels={"page": "summary"}
        ),
        provenance="<results>/summary.provenance.json",
    log:
        "<results>/logs/make_summary.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=minutes(10),
    params:
        cfg=ordered({"config": resolved, "captions": captions(), "experiments": drawn(), "tables": tables()}),
        code=code("make_summary"),
    script:
        "../scripts/make_summary.py"
