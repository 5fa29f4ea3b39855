rule prepare_data:
    input:
        lambda wildcards: paths.dataset_files(resolved["datasets"][wildcards.dataset]),
    output:
        data="<results>/data/{dataset}.safetensors",
        provenance="<results>/data/{dataset}.provenance.json",
    log:
        "<results>/logs/prepare_data/{dataset}.log",
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=4000,
        runtime=minutes(30),
    params:
        cfg=lambda wildcards: stages.dataset(wildcards.dataset),
        code=code("prepare_data", lambda wildcards: stages.dataset(wildcards.dataset)),
    script:
        "../scripts/prepare_data.py"
