"""Read a data set and write it as one safetensors file: its images, or an index of its files."""

from sacp.artefacts.files import atomic
from sacp.compute import job
from sacp.images.sources import prepare
from safetensors.torch import save_file

with job.running(snakemake) as work:
    tensors, metadata = prepare(work.cfg)
    with atomic(work.out.data) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    work.facts["data_digest"] = metadata["digest"]
    sizes = len(tensors["train_labels"]), len(tensors["test_labels"])
    job.log.info("%d training and %d test images, digest %s", *sizes, metadata["digest"])
