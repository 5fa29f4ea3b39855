rule make_forecast:
    output:
        csv="<results>/forecast.csv",
        provenance="<results>/forecast.provenance.json",
    log:
        "<results>/logs/make_forecast.log",
    conda:
        "../envs/forecast.yaml"
    threads: given("_cores") or 1
    resources:
        mem_mb=8000,
        runtime=minutes(30),
        gpu=gpus(1),
    params:
        cfg=stages.forecast(given("_cores"), given("gpu")),
        code=lambda wildcards: digests("make_forecast", stages.measured()),
    script:
        "../scripts/make_forecast.py"


rule compare_forecast:
    input:
        records=paths.records_and_table(),
        forecast="<results>/forecast.csv",
    output:
        csv="<results>/forecast_spent.csv",
        provenance="<results>/forecast_spent.provenance.json",
    log:
        "<results>/logs/compare_forecast.log",
    conda:
        "../envs/forecast.yaml"
    resources:
        mem_mb=1000,
        runtime=minutes(10),
    params:
        code=code("compare_forecast"),
    script:
        "../scripts/compare_forecast.py"
