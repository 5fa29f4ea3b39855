"""AMC's choice: the counts of the best episode, at the FLOPs of the matched winner."""

import logging

from sacp.baselines.amc.refit import Refit
from sacp.baselines.amc.search import Search
from sacp.baselines.amc.walk import Walk
from sacp.baselines.learning import Learned, LongTask
from sacp.baselines.match_flops import approached
from sacp.baselines.untrained import accuracy_of, rows_of, validation_part
from sacp.images.batches import Normalizer, drawn_batches
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.seeds import derive

REFIT_IMAGES, REFIT_BATCH = 3000, 50  # that the least squares look at
log = logging.getLogger(__name__)


def select(task: LongTask) -> Learned:
    """Kept channels: as many as in the best episode, those of the largest L1 norm."""
    order, options = l1_order(task.base, task.graph), task.options
    walk = Walk(task.base, task.graph, task.target_flops, options["least_share"])
    # Batch norms are left as they are behind layers that give what they gave; else they are calibrated, as everywhere.
    prepare = refit_of(task) if options["refit"] else lambda pruned, kept: task.calibration(pruned)
    reward = accuracy_of(task, order, validation_part(task, options["images"]), prepare)
    search = Search(walk, options["warmup"], task.seed)
    best, accuracy = search.run(reward, options["episodes"], task.sidecar)
    log.info("%s: best episode: accuracy %.2f %%, kept channels %s", task.label, 100 * accuracy, best.tolist())
    counts = approached(task.graph, best[None], task.target_flops, "structure of the agent (amc)")
    rows = rows_of(task.graph, search.tried)
    return Learned(kept_channels(order, counts), rows, rows, columns=tuple(rows[0]))


def refit_of(task: LongTask) -> Refit:
    """The least squares of the base's layers on training images."""
    normalizer = Normalizer(task.splits.mean, task.splits.std, task.device)
    seed = derive(task.seed, "refit")
    batches = drawn_batches(task.splits.train, normalizer, REFIT_IMAGES, REFIT_BATCH, seed)
    return Refit(task.base, task.graph, batches, seed)
