"""Rewrites a PyTorch network for fast runs: batch norms folded into convolutions, no work done twice or copied."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from porter.nets.features_torch import FeatureNetwork, Passed, Tracer, pass_blocks
from porter.nets.layers_torch import BatchNormAct, Conv2dSame, DropPath, relu6


def _relu6_in_place(x: Tensor) -> Tensor:  # by name, so that a fused network pickles
    return x.clamp_(0, 6)


IN_PLACE: dict[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = {
    torch.relu: torch.relu_,
    F.relu: torch.relu_,
    relu6: _relu6_in_place,
}
"""Activations that can overwrite their input."""


class Activated(nn.Module):
    """The activation of a batch norm that was folded, under the batch norm's name."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


def fuse(network: nn.Module) -> fx.GraphModule:
    """Return ``network``, which is in eval mode, for fast runs and in the layout channels_last. It takes its layers.

    A batch norm goes where its input is the output of one convolution, or of several that are concatenated, and nobody
    else reads that. Its place keeps its name, and computes what follows: its activation, or nothing. So every place
    behind a batch norm computes what it did. A batch norm before a convolution stays: ReLU or a border of zeros is
    between them. The scale is computed in float64, and the folded weights are rounded once.

    ReLUs of the same map run once. An activation or a sum overwrites a map that nobody else reads: a hook that keeps
    a layer's output must copy it.
    """
    tracer = Tracer()
    graph = tracer.trace(network)
    _fold_norms(network, graph)
    pass_blocks(network, graph, tracer.outputs)
    if isinstance(network, FeatureNetwork):
        fused: fx.GraphModule = FeatureNetwork(network, graph, "FeatureNetwork")
        fused.feature_info = network.feature_info
    else:
        fused = fx.GraphModule(network, graph, f"Fused{type(network).__name__}")
    _share_relus(fused)
    _work_in_place(fused)
    fused.recompile()
    return fused.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _put(network: nn.Module, place: str, module: nn.Module) -> None:
    """Put ``module`` at ``place``."""
    parent, _, name = place.rpartition(".")
    setattr(network.get_submodule(parent), name, module)


def _called_once(network: nn.Module, graph: fx.Graph) -> dict[fx.Node, nn.Module]:
    """Return the modules that run once, by their node."""
    nodes = [node for node in graph.nodes if node.op == "call_module"]
    calls = Counter(node.target for node in nodes)
    return {node: network.get_submodule(str(node.target)) for node in nodes if calls[node.target] == 1}


def _input(node: fx.Node) -> fx.Node:
    """Return the node whose output ``node`` reads first."""
    found = node.args[0]
    assert isinstance(found, fx.Node)
    return found


# ---- batch norms
@torch.no_grad()
def _fold_norms(network: nn.Module, graph: fx.Graph) -> None:
    """Fold batch norms into the convolutions before them."""
    once = _called_once(network, graph)
    for node, norm in once.items():
        if isinstance(norm, nn.BatchNorm2d):
            convolutions = [once.get(each) if len(each.users) == 1 else None for each in _joined(_input(node))]
            if convolutions and all(isinstance(each, nn.Conv2d) for each in convolutions):
                _fold(norm, convolutions)  # type: ignore[arg-type]
                behind = Activated(norm.act) if isinstance(norm, BatchNormAct) else nn.Identity()
                _put(network, str(node.target), behind)


def _joined(node: fx.Node) -> Sequence[fx.Node]:
    """Return the nodes that ``node`` concatenates along the channels for one reader, or ``node`` itself."""
    if node.target is not torch.cat:
        return [node]
    parts, axis = (*node.args, node.kwargs.get("dim", 0))[:2]
    return parts if axis == 1 and len(node.users) == 1 else []  # type: ignore[return-value]


def _fold(norm: nn.BatchNorm2d, convolutions: Sequence[nn.Conv2d]) -> None:
    """Give ``convolutions``, whose outputs make up the channels of ``norm``, what ``norm`` computes."""
    gamma, beta, mean, variance = (
        each.double() for each in (norm.weight, norm.bias, norm.running_mean, norm.running_var) if each is not None
    )
    scale = gamma / torch.sqrt(variance + norm.eps)
    widths = [convolution.out_channels for convolution in convolutions]
    shift = (beta - mean * scale).split(widths)
    for convolution, factor, offset in zip(convolutions, scale.split(widths), shift, strict=True):
        weight, bias = convolution.weight, convolution.bias
        folded = offset if bias is None else bias.double() * factor + offset
        weight.copy_(weight.double() * factor[:, None, None, None])
        convolution.bias = nn.Parameter(folded.to(weight.dtype))


# ---- activations and sums
def _relus(network: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.ReLU | None]]:
    """Yield the nodes that compute a ReLU, each with its module if it has one that runs once."""
    once = _called_once(network, network.graph)
    for node in network.graph.nodes:
        module = once.get(node)
        if isinstance(module, nn.ReLU):
            yield node, module
        elif node.op == "call_function" and node.target in (F.relu, torch.relu):
            yield node, None


def _share_relus(network: fx.GraphModule) -> None:
    """Let ReLUs of the same map run once; the others' places pass on the result."""
    first: dict[fx.Node, fx.Node] = {}
    for node, module in list(_relus(network)):
        found = first.setdefault(_input(node), node)
        if found is node:
            continue
        if module is None:
            node.replace_all_uses_with(found)
            network.graph.erase_node(node)
        else:
            node.args = (found,)
            _put(network, str(node.target), nn.Identity())


def _work_in_place(network: fx.GraphModule) -> None:
    """Let activations and sums overwrite maps that nobody else reads."""
    once = _called_once(network, network.graph)
    for node, relu in _relus(network):
        if _owned(_input(node), once) and relu is not None:
            relu.inplace = True
        elif _owned(_input(node), once):
            node.target, node.args, node.kwargs = torch.relu_, node.args[:1], {}
    for node, module in once.items():
        if isinstance(module, Activated) and _owned(_input(node), once):
            module.act = IN_PLACE.get(module.act, module.act)
    for node in network.graph.nodes:
        if node.target is operator.add and all(isinstance(each, fx.Node) for each in node.args):
            one, two = node.args if _owned(_input(node), once) else node.args[::-1]
            if _owned(one, once):  # type: ignore[arg-type]
                node.target, node.args = operator.iadd, (one, two)


def _owned(node: fx.Node, once: dict[fx.Node, nn.Module]) -> bool:
    """Tell whether ``node`` is a map of its own that has one reader.

    A strided depthwise convolution returns a part of its windows (`conv_same`), which its reader makes dense.
    """
    module = once.get(node)
    if len(node.users) != 1:
        return False
    if isinstance(module, nn.Identity | Passed | DropPath):
        return _owned(_input(node), once)
    if isinstance(module, Conv2dSame) and module.groups > 1:
        return module.stride == (1, 1)
    return isinstance(module, nn.Conv2d | nn.BatchNorm2d) or node.target in (operator.add, operator.iadd)
