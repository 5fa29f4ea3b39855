"""Train the graph encoder by contrastive learning, or by regression on the accuracies of tuned configurations."""

import numpy as np
from sacp import artefacts, checkpoint, criteria, files, job, provenance, ranking
from sacp.contrastive import LOSS_COLUMNS, Labels, train_encoder
from sacp.encoder import EncoderSettings, save
from sacp.networks import NetworkSpec

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"]))
    space = cfg["space"]
    artefacts.check_configs(snakemake.input.configs, graph, space["levels"], space["threshold"])
    training, levels = artefacts.load_configs(snakemake.input.configs, "training")
    settings, labels = EncoderSettings(**cfg["encoder"]), None
    if snakemake.input.get("labels"):
        tuned = [row for path in snakemake.input.labels for row in ranking.load_tuned(path) if not row["failure"]]
        rows, accuracies = (np.array([row[key] for row in tuned]) for key in ("candidate", ranking.ACCURACY))
        labels = Labels(rows.astype(np.int64), accuracies.astype(np.float64))
    norms = criteria.l1_norms(base.network, graph)
    encoder, losses = train_encoder(graph, norms, training, levels, settings, seed, labels)
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
