"""Read a data set and write it as one safetensors file: its images, or an index of its files."""

import json

from sacp import data, job, provenance
from sacp.files import atomic
from safetensors.torch import save_file

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    tensors, metadata = data.prepare(cfg)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    record = provenance.finished(record) | {"data_digest": metadata["digest"]}
    with atomic(snakemake.output[0]) as temporary:
        save_file(tensors, temporary, metadata=metadata | {"provenance": json.dumps(record)})
    sizes = len(tensors["train_labels"]), len(tensors["test_labels"])
    job.log.info("%d training and %d test images, digest %s", *sizes, metadata["digest"])
