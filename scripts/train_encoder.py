"""Train the graph encoder by contrastive learning."""

from sacp import artefacts, checkpoint, criteria, files, job, provenance
from sacp.encoder import LOSS_COLUMNS, EncoderSettings, save, train_encoder
from sacp.networks import NetworkSpec

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"]))
    space = cfg["space"]
    artefacts.check_configs(snakemake.input.configs, graph, space["levels"], space["threshold"])
    training, levels = artefacts.load_configs(snakemake.input.configs, "training")
    settings = EncoderSettings(**cfg["encoder"])
    encoder, losses = train_encoder(graph, criteria.l1_order(base.network, graph), training, levels, settings, seed)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    files.write_csv(snakemake.output.loss, losses, LOSS_COLUMNS)
    save(
        snakemake.output.encoder,
        encoder,
        graph,
        levels,
        settings,
        provenance.finished(record, outputs=[snakemake.output.loss]),
    )
