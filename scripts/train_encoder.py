"""Train the graph encoder by contrastive learning, or by regression on the accuracies of tuned configurations."""

import numpy as np
from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.encoder.model import EncoderSettings, save
from sacp.encoder.training import LOSS_COLUMNS, Labels, train_encoder
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.criteria import l1_norms
from sacp.search.files import check_configs, load_configs
from sacp.training import ranking

with long_job.resuming(snakemake) as work:
    graph, space = load_graph(work.given.network), work.cfg["space"]
    base = load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    check_configs(work.given.configs, graph, space["levels"], space["threshold"])
    training, levels = load_configs(work.given.configs, "training")
    settings, labels = EncoderSettings(**work.cfg["encoder"]), None
    if work.given.get("labels"):
        tuned = [row for path in work.given.labels for row in ranking.load_tuned(path) if not row["failure"]]
        rows, accuracies = (np.array([row[key] for row in tuned]) for key in ("candidate", ranking.ACCURACY))
        labels = Labels(rows.astype(np.int64), accuracies.astype(np.float64))
    norms = l1_norms(base, graph)
    encoder, losses = train_encoder(graph, norms, training, levels, settings, work.seed, labels, work.sidecar)
    write_csv(work.out.loss, losses, LOSS_COLUMNS)
    save(work.out.encoder, encoder, graph, levels, settings)
