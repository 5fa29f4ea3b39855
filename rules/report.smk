rule make_table1:
    input:
        "config/reported/table1.csv",
    output:
        **table("table1"),
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
        **paths.table3(),
        reported="config/reported/table3.csv",
        frontier="config/reported/frontier.csv",
    output:
        **table("table3"),
    log:
        "<results>/logs/make_table3.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=stages.table3(),
        code=code("make_table3"),
    script:
        "../scripts/make_table3.py"


rule make_table4:
    input:
        **paths.table_inputs("search", "tuned"),
        reported="config/reported/table4.csv",
    output:
        **table("table4"),
    log:
        "<results>/logs/make_table4.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        cfg=stages.table4(),
        code=code("make_table4"),
    script:
        "../scripts/make_table4.py"


rule make_summary:
    input:
        **paths.table_inputs(),
        tables=paths.tables(),
        figures=paths.figures(),
        records=paths.records_and_table(),
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
        cfg=stages.summary(ROOT / "rules/captions"),
        code=code("make_summary"),
    script:
        "../scripts/make_summary.py"
