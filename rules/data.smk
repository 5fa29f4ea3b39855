rule prepare_data:
    input:
        dataset_files,
    output:
        "<results>/data/{dataset}.safetensors",
    log:
        "<results>/logs/prepare_data/{dataset}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
        runtime=minutes(30),
    params:
        cfg=lambda wildcards: ordered(resolved["datasets"][wildcards.dataset]),
        code=code("prepare_data"),
    script:
        "../scripts/prepare_data.py"
