"""AGMC's choice: the counts of the best episode, which has the FLOPs of the matched winner."""

import logging

from sacp.baselines.agmc.search import Options, Search
from sacp.baselines.learning import Learned, LongTask
from sacp.baselines.untrained import accuracy_of, rows_of, validation_part
from sacp.pruning.criteria import kept_channels, l1_order

log = logging.getLogger(__name__)


def select(task: LongTask) -> Learned:
    """Kept channels: as many as in the best episode, those of the largest L1 norm."""
    order, own = l1_order(task.base, task.graph), task.options
    images = validation_part(task, own["images"])
    reward = accuracy_of(task, order, images, lambda pruned, kept: task.calibration(pruned))
    options = Options(own["actions"], own["exploration"], own["state"])
    search = Search(task.graph, task.target_flops, options, own["warmup"], task.seed)
    counts, accuracy = search.run(reward, own["episodes"], task.sidecar)
    log.info("%s: best episode: accuracy %.2f %%, kept channels %s", task.label, 100 * accuracy, counts.tolist())
    rows = rows_of(task.graph, search.tried)
    return Learned(kept_channels(order, counts), rows, rows, columns=tuple(rows[0]))
