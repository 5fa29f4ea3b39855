"""What the words of a page mean, for readers who do not prune networks every day."""

import re
from html import unescape

TERMS = {  # a word, as a pattern where it has several forms: what it means
    "Anchor": "what the encoder compares a pruned network with while it learns.",
    "Band": "a part of the networks with about as many FLOPs each; within it size alone predicts little.",
    "Base": "the trained network that all methods prune.",
    "Candidate|Candidates": "a configuration that a search may choose: how many channels each layer keeps.",
    "Device-hours|Device time": "time of the jobs times their GPUs, or their CPU cores where there are none.",
    "Encoder": "a small network that reads a pruned network as a graph and gives it a score before any training.",
    "Estimated ceiling": "what the true accuracies, without the noise of a training, would score as a predictor.",
    "FLOPs": "multiply-accumulates that the network takes on one image.",
    "Fully trained|trained fully|full training": "trained by the recipe `full`, after which the winner is chosen.",
    "Held out": "training images that no training sees: they choose among networks.",
    "Kendall": "rank correlation: of all pairs of networks, the share in the right order less that in the wrong one.",
    "Labelled": "networks that were tuned so that an encoder could learn from their accuracies.",
    "Latency": "time that a network takes for its inputs.",
    "Lightly tuned|light tuning|tuned": "trained for a short time, by the recipe `tune`, to see which are worth more.",
    "Paper's protocol": "what would be reported if the test images chose among the trained networks.",
    "Parameters|Params": "numbers that the network has learned.",
    "Points": "difference of two percentages.",
    "Predictor|Predictors": "a quantity known before a network is tuned, compared with its accuracy after.",
    "Pruning ratio": "share of the channels that is removed, with the weights of layers in equation 1 of the paper.",
    "Regret": "accuracy that is lost if only the networks that a predictor ranks highest are tuned.",
    "Reported": "as the paper prints it, for its own networks and recipes.",
    "Resamples": "networks drawn again with replacement: how far the results would differ in another sample.",
    "Retest reliability": "how well one tuning of the same networks predicts another one.",
    "SACP-1": "the paper's variant whose encoder learns accuracies of tuned networks.",
    "SACP-2": "the paper's variant that takes the best of the tuned networks and trains it no further.",
    "Score|Scores": "what a search ranks candidates by, before any of them is trained.",
    "Seed|Seeds": "start of all random numbers; runs with other seeds show how much is chance.",
    "Spearman": "rank correlation: 1 if a predictor orders the networks as their accuracies do, 0 if at random.",
    "Top-1": "share of the images whose right class gets the highest of the network's outputs.",
    "Winner|Winners": "of a method's trained networks the one with the best accuracy on the images held out.",
}


def glossary(html: str) -> dict[str, str]:
    """The terms that appear in the text of a page, and what they mean, in the alphabet's order."""
    text = unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL))
    found = {}
    for names, meaning in TERMS.items():
        if re.search(rf"(?<![\w-])(?:{names})(?![\w-])", text, re.IGNORECASE):
            found[names.partition("|")[0]] = meaning
    return found
