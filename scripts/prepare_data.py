"""Read a data set and write it as one safetensors file of uint8 tensors."""

import json

from sacp import data, job, provenance
from sacp.files import atomic
from safetensors.torch import save_file

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    train, test = data.read(cfg["source"], cfg.get("path"))
    record = provenance.record(cfg, snakemake.params.code, snakemake.input, seed=None)
    metadata = {"digest": data.digest(train, test), "provenance": json.dumps(provenance.finished(record))}
    tensors = {
        "train_images": train.images, "train_labels": train.labels,
        "test_images": test.images, "test_labels": test.labels,
    }  # fmt: skip
    with atomic(snakemake.output[0]) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    job.log.info("%d training and %d test images, digest %s", len(train.labels), len(test.labels), metadata["digest"])
