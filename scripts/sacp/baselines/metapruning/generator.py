"""The network that makes the weights of a network of any widths (section 3.1)."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from sacp.network.graph import CONV, Graph, Kept, Node, kept_elements
from sacp.network.surgery import prune, weight_axes
from sacp.pruning.space import rounded

LEVELS = 31  # of a gene
LEAST, STEP = 0.1, 0.03  # share of the first level, and between two


def counts_of(genes: NDArray[np.int64], graph: Graph) -> NDArray[np.int64]:
    """Kept channels of genes, [..., G] -> [..., G]: shares of 0.10, 0.13, ..., 1."""
    shares = LEAST + STEP * genes
    return rounded(np.maximum(np.rint(shares * graph.channels), 1).astype(np.int64), graph)


def first_channels(counts: NDArray[np.int64]) -> Kept:
    """The first channels of each group: weights are made for them, so that it makes no difference which are kept."""
    return [np.arange(count) for count in counts]


class PruningNet(nn.Module):
    """Makes the weights of every convolution from the kept shares of the groups that it reads and gives.

    Two layers make the whole kernel, of which what is kept is cut out. Batch norms have no parameters. All else, as the
    classifier, has ordinary weights, which are cut.
    """

    def __init__(self, network: nn.Module, graph: Graph, units: int) -> None:
        """Take a network for its layers; none of its weights are used.

        Args:
            network: the base.
            graph: its graph.
            units: of the layer between the shares and a kernel.
        """
        super().__init__()
        self.graph, self.counts = graph, np.array(graph.channels, np.int64)
        fresh = _fresh(network)
        self._skeleton = [fresh]  # in a list: its weights are none of this network's
        self._nodes = {node.name: node for node in graph.nodes if node.kind == CONV}
        self._cut = {node.name: node for node in graph.nodes}
        self.makers, self.others = nn.ModuleDict(), nn.ParameterDict()
        for name, node in self._nodes.items():
            kernel = fresh.get_submodule(name).get_parameter("weight").numel()
            layers = nn.Linear(max(1, len(_touched(node))), units), nn.ReLU(), nn.Linear(units, kernel)
            self.makers[_key(name)] = nn.Sequential(*layers)
        norms = {name for name, module in fresh.named_modules() if isinstance(module, _BatchNorm)}
        for name, parameter in fresh.named_parameters():
            layer, _, own = name.rpartition(".")
            if layer not in norms and (layer not in self._nodes or own != "weight"):
                self.others[_key(name)] = nn.Parameter(parameter.detach().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the network of the widths that are set as `counts`, [G]."""
        structure = self._structure()
        logits: Tensor = functional_call(structure, self._weights(structure), (images,))
        return logits

    @torch.no_grad()
    def network(self, counts: NDArray[np.int64]) -> nn.Module:
        """A network of these widths with the weights made for it; its batch norms know no images."""
        self.counts = counts
        structure = self._structure().eval()
        for name, value in self._weights(structure).items():
            structure.get_parameter(name).copy_(value)
        return structure

    def _structure(self) -> nn.Module:
        """A network of the widths; its own weights are not used."""
        return prune(self._skeleton[0], self.graph, first_channels(self.counts)).train(self.training)

    def _weights(self, structure: nn.Module) -> dict[str, Tensor]:
        """All parameters of a network of the widths, by name."""
        kept, found = first_channels(self.counts), dict[str, Tensor]()
        shares = torch.as_tensor(self.counts / np.array(self.graph.channels))
        for name, parameter in structure.named_parameters():
            layer, _, own = name.rpartition(".")
            if own == "weight" and layer in self._nodes:
                found[name] = self._cropped(layer, self._kernel(layer, shares), kept)
            elif _key(name) in self.others:
                found[name] = self._cropped(layer, self.others[_key(name)], kept)
            else:  # of a batch norm
                found[name] = torch.full_like(parameter, float(own == "weight"))
        return found

    def _kernel(self, layer: str, shares: Tensor) -> Tensor:
        """The whole kernel of a convolution."""
        maker, groups = self.makers[_key(layer)], _touched(self._nodes[layer])
        given = shares[groups] if groups else torch.ones(1)
        parameter = next(maker.parameters())
        whole = self._skeleton[0].get_submodule(layer).get_parameter("weight")
        kernel: Tensor = maker(given.to(parameter)).view_as(whole)
        return kernel

    def _cropped(self, layer: str, whole: Tensor, kept: Kept) -> Tensor:
        """What is kept of a layer's weight or bias."""
        node = self._cut.get(layer)
        if node is None:
            return whole
        out_axis, in_axis = weight_axes(self._skeleton[0].get_submodule(layer)) if whole.dim() > 1 else (0, 1)
        cuts = {out_axis: kept_elements(node.outputs, kept)}
        if whole.dim() > 1 and node.mixes and (inputs := kept_elements(node.inputs, kept)) is not None:
            cuts[in_axis] = inputs[inputs < node.in_channels // node.divisor]
        for axis, elements in cuts.items():
            if elements is not None:
                whole = whole.index_select(axis, torch.as_tensor(elements, device=whole.device))
        return whole


def _touched(node: Node) -> list[int]:
    """The groups that a layer reads or gives, ascending."""
    return sorted({*node.in_groups, *node.groups})


def _fresh(network: nn.Module) -> nn.Module:
    """A copy with weights as they are before any training."""
    found = copy.deepcopy(network)
    for module in found.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    return found


def _key(name: str) -> str:
    """A name without dots, as modules are registered."""
    return name.replace(".", "/")
