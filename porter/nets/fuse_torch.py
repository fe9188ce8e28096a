"""Folds a PyTorch network's batch norms into its convolutions, for fast runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx, nn

from porter.nets.features_torch import Tracer
from porter.nets.layers_torch import BatchNormAct, relu6


def _relu6_in_place(x: Tensor) -> Tensor:  # by name, so that a fused network pickles
    return x.clamp_(0, 6)


IN_PLACE: dict[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = {
    torch.relu: torch.relu_,
    relu6: _relu6_in_place,
}
"""Activations that may overwrite their input: a folded one is the only reader of its convolution."""


class Activated(nn.Module):
    """The activation of a batch norm that was folded, under the batch norm's name."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


@torch.no_grad()
def fuse(network: nn.Module) -> nn.Module:
    """Return ``network``, which is in eval mode, with batch norms folded and in the layout channels_last.

    A batch norm goes where its input is the output of one convolution, or of several that are concatenated, and nobody
    else reads that. Its place keeps its name, and computes what follows: its activation, or nothing. So every place
    behind a batch norm computes what it did. A batch norm before a convolution stays: ReLU or a border of zeros is
    between them. The scale is computed in float64, and the folded weights are rounded once.
    """
    graph = Tracer().trace(network)
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")

    def once(node: fx.Node, kind: type[nn.Module]) -> bool:
        """Tell whether ``node`` is the only call of a module of ``kind``."""
        called = node.op == "call_module" and calls[node.target] == 1
        return called and isinstance(network.get_submodule(str(node.target)), kind)

    for node in graph.nodes:
        if once(node, nn.BatchNorm2d):
            before = _joined(node.args[0])
            if before and all(once(each, nn.Conv2d) and len(each.users) == 1 for each in before):
                norm, *convolutions = (network.get_submodule(str(each.target)) for each in (node, *before))
                _fold(norm, convolutions)  # type: ignore[arg-type]
                parent, _, name = str(node.target).rpartition(".")
                setattr(network.get_submodule(parent), name, _behind(norm))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _behind(norm: nn.Module) -> nn.Module:
    """Return what follows the normalisation in ``norm``: its activation, or nothing."""
    return Activated(IN_PLACE.get(norm.act, norm.act)) if isinstance(norm, BatchNormAct) else nn.Identity()


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
