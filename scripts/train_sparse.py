"""Train the base on with a penalty on the scales of its batch norms, for Network Slimming."""

from sacp import checkpoint, data, files, gpus, job, parallel, provenance, refine
from sacp.arithmetic import Engine
from sacp.networks import NetworkSpec
from sacp.seeds import derive
from sacp.training import HISTORY_COLUMNS, Recipe, train

cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
gpus.claim(cfg["device"], snakemake.resources.gpu)
parallel.launch(cfg["processes"])
with job.logged(snakemake.log[0], snakemake.threads), parallel.joined(job.device(cfg["device"])) as (device, team):
    spec, label = NetworkSpec(**cfg["network"]), "sparse"
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    sidecar = job.sidecar(snakemake.log[0], record, float(snakemake.resources.save_seconds))
    splits = data.load_splits(snakemake.input.data, cfg["validation"], seed)
    network = checkpoint.load_base(snakemake.input.base, spec).network.to(device)
    recipe, engine = Recipe(**cfg["sparse"]), Engine(**cfg["engine"])
    history = train(network, splits, recipe, derive(seed, label), label, engine, sidecar, team=team)
    metrics = refine.measure(network, splits, spec, team)
    if team.leads:
        files.write_csv(snakemake.output.history, history, HISTORY_COLUMNS)
        record = provenance.finished(record, sidecar.earlier_seconds, [snakemake.output.history])
        checkpoint.save_base(snakemake.output.sparse, network, spec, metrics, record)
        sidecar.clear()
        job.log.info("%s: %s", label, metrics)
