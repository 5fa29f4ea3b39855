"""Write a method's winner for other programs, `torch.export` and ONNX, each compared with the network."""

from importlib.metadata import version
from pathlib import Path

from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.deploy.export import export
from sacp.deploy.onnx_model import PACKAGES
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec
from sacp.pruning.files import load

with job.running(snakemake) as work:
    spec, winner = NetworkSpec(**work.cfg["network"]), Path(work.given.description)
    network = load(winner.parent, lambda num_classes: build(spec))
    about = read_json(winner)
    images = {key: about[key] for key in ("mean", "std", "resize", "crop") if key in about}  # how they are prepared
    export(network, Path(work.out.description).parent, spec.input_shape, more=images)
    work.facts["exporters"] = {name: version(name) for name in PACKAGES}
    job.log.info("batches of images [batch, %s]", ", ".join(map(str, spec.input_shape[1:])))
