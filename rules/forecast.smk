rule make_forecast:
    output:
        "<results>/forecast.csv",
    log:
        "<results>/logs/make_forecast.log",
    conda:
        "../envs/forecast.yaml"
    threads: given("_cores") or 1
    resources:
        mem_mb=8000,
        runtime=30,
        gpu=1,
    params:
        cfg=forecast_settings(),
        code=code("make_forecast"),
    script:
        "../scripts/make_forecast.py"
