"""Read a data set and write it as one safetensors file: its images, or an index of its files."""

from sacp.artefacts.tensors import save_safetensors
from sacp.compute import job
from sacp.images.sources import prepare

with job.running(snakemake) as work:
    tensors, metadata = prepare(work.cfg)
    save_safetensors(work.out.data, tensors, metadata)
    work.facts["data_digest"] = metadata["digest"]
    sizes = len(tensors["train_labels"]), len(tensors["test_labels"])
    job.log.info("%d training and %d test images, digest %s", *sizes, metadata["digest"])
