"""In what baselines and criteria differ from their papers and their authors' code, one line each.

Why, where it is not said here: `docs/decisions/0011-comparing.md` and `0016-baselines-that-train.md`.
"""

ALL = "all"  # of them
# By kind or criterion. "Theirs" is the published code.
DEPARTURES: dict[str, tuple[str, ...]] = {
    ALL: (
        "from the base to the target in one step, then the full training; many papers prune layer by layer or "
        "epoch by epoch",
        "a group's channels are pruned together, by the sum of what its layers say, if nothing else is said here",
        "at the FLOPs of the matched winner: single channels are added or removed where its choice misses them",
    ),
    "uniform": (
        "one ratio for all groups, streams included; the paper sets one for each stage by hand, and leaves some layers",
    ),
    "fpgm": (
        "distances are those of the filters of a group's layers laid side by side; the paper prunes in epochs",
    ),
    "hrank": (
        "of the authors' code: maps behind batch norm and ReLU, at the end of a residual block behind the sum and "
        "its ReLU",
        "ranks of all convolutions of a residual stream are summed; theirs has ranks for each convolution",
        "a sum that two of them lead to (a projected shortcut) counts twice",
        "without an activation maps are ranked as the next layer reads them, where nearly all have full rank",
        "maps are those before a pooling; theirs takes ResNet-50's first ones behind it",
        "all groups at once; the paper prunes layer by layer, with training between",
    ),
    "thinet": (
        "all groups at once, by what the base computes; the paper prunes one layer after the other",
        "streams of residual networks too, which the paper leaves whole",
        "a channel has one factor, by least squares, for all layers that read its group; in the paper one layer "
        "reads it",
        "of many solutions, as for channels that are equal or dead, the one nearest to ones",
        "ten positions of each image are sampled, as in the paper, of 500 images",
    ),
    "slimming": (
        "the sparse training starts from the base and only decides which channels are kept; weights come from the "
        "base",
        "scales are averaged over the batch norms of a group",
    ),
    "colony": (
        "structures are scaled to the FLOPs of the winner; the paper bounds each layer, in tenths of its width",
        "a visit changes two different groups and then scales all; the code draws two with repetition, never the "
        "last layer",
        "a structure is judged by validation accuracy, theirs by test accuracy",
        "channels of the largest L1 norm are kept; the paper draws them at random",
        "the full training starts from the base's weights; theirs goes on from the light training",
        "residual streams are pruned; theirs are not",
    ),
    "amc": (
        "one decision for each group, where its first reader stands, residual streams included; the code has no "
        "ResNets",
        "FLOPs are met with a fifth (`least_share`) of all groups ahead, to single channels; the code has "
        "multiples of eight",
        "an agent may stay below the FLOPs; the best episode's network gets single channels more",
        "channels are kept by the L1 norm of their filters; theirs takes the weights that read them",
        "the reward is top-1 accuracy",
        "least squares fit all layers that read a group, 3x3 ones included, which the code refuses; those in "
        "groups stay",
        "what is fitted only makes the reward: the full training starts from the base's weights",
        "evaluated networks count as tuned in table 3",
    ),
    "agmc": (
        "as the code would run: features drawn once, one graph convolution, no decoder (the paper's LSTM), edges "
        "of one type",
        "shares are explored around each action; the code has their mean for all (`exploration: mean`)",
        "FLOPs are met by one factor on all pruned shares; theirs takes one step that may miss",
        "the agent learns as many steps after an episode as it has actions, and rewards are accuracies in 0..1",
        "batch norms are calibrated before a network is evaluated",
        "channels are kept by L1 norm, alike in all layers of a group; the code masks each layer's by L2 norm",
        "evaluated networks count as tuned in table 3",
    ),
    "metapruning": (
        "kernels are made of the shares of the groups that a layer reads and gives; the code's also know a "
        "block's middle",
        "every group has a gene; the code's last stage has none",
        "trained by the recipe `selection`, with its cosine; batch norms are calibrated before every evaluation",
        "genes at random are moved level by level to the FLOPs; theirs are drawn until they are within a band",
        "counts go to the base's channels of the largest L1 norm, with its weights; theirs are trained from "
        "scratch",
        "evaluated networks count as tuned in table 3",
    ),
    "apib": (
        "looks at images without augmentation; its authors augment them",
        "as in the code the network is in training, kernels are centred, not normalised; coefficients may be negative",
        "Lassos are solved by the products of the kernels, to a smaller gap; the code's intercept is zero for "
        "centred kernels",
        "the penalty is bisected between none and one that leaves nothing; theirs is doubled from a given start",
        "groups that would lose more than must be kept keep those that come next to a coefficient",
        "inner channels alone, as theirs; `sums: true`, which is not in the paper, prunes streams by the losses "
        "of all readers",
    ),
    "oto": (
        "starts from the base, not from scratch; with `weights: base` the training ends when all channels are "
        "chosen",
        "trained by the recipe `selection`: a cosine, momentum, crops and flips as everywhere here, without mixup",
        "what SGD does in a step, momentum and weight decay included, is the gradient of both optimisers' "
        "formulas",
        "DHSPG chooses as many channels as lead to the FLOPs; theirs a share of channels and 5 % more",
        "HESSO takes FLOPs away in equal parts over its periods, theirs channels",
        "what is chosen and not zero in the end is removed as it stands, and the log says how much that is",
        "a channel has all parameters that surgery takes with it, batch norms behind sums and concatenations "
        "included",
    ),
    "gal": (
        "a mask for each inner channel, as theirs for VGG-16; of ResNet-56 they remove blocks, which no channels "
        "express",
        "the base is in evaluation mode where it teaches; theirs is in training",
        "masks start from a normal distribution, those below zero at zero, in the scales and shifts of batch "
        "norms",
        "the schedule is a cosine",
        "channels go in the order in which their masks fell, up to the FLOPs; theirs are those that are zero in "
        "the end",
        "with `weights: own` masks are multiplied into batch norms; theirs stay as factors",
    ),
    "ato": (
        "inner groups alone, as the code for ImageNet has it; that for CIFAR-10 was not published",
        "when the controller starts and ends is our guess",
        "starts from the base and trains by the recipe `selection`; theirs from scratch",
        "the controller sees its images, of the training part as theirs, without augmentation",
        "gates stand in the scales and shifts of batch norms; single channels follow by the controller's logits",
    ),
}  # fmt: skip
