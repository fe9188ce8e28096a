"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.ops.convolution import bias_behind
from porter.graph.codegen.step import Literal, Weight
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref

LOWERINGS = Lowerings()


@LOWERINGS.of("MatMul")
def matmul(c: Context, node: Node) -> None:
    if not add_linear(c, node, c.tensor(node.inputs[0]), node, node.inputs[1], (node.name,)):
        product(c, node)


def add_linear(c: Context, product: Node, tensor: Tensor, end: Node, kernel: Ref, nodes: Sequence[str]) -> bool:
    """Add a layer that multiplies the last axis of ``tensor`` by a ``kernel`` as the MatMul ``product`` does.

    ``end`` is the last of its ``nodes``, before the bias. Returns False, and adds nothing, if the kernel is computed.
    """
    name = c.weight(kernel)
    if not name or product.flag("transpose_a"):
        return False
    shape = [size or 0 for size in c.shape(kernel)]
    turned = product.flag("transpose_b")
    inputs, outputs = shape[::-1] if turned else shape
    weights = [Weight(name, "weight", () if turned else (1, 0), (outputs, inputs))]
    bias = bias_behind(c, end, outputs)
    if bias is not None:
        end, nodes = bias.end, [*nodes, *bias.nodes]
        weights.append(Weight(bias.weights, "bias", (), (outputs,)))
    arguments: dict[str, Literal] = {"in_features": inputs, "out_features": outputs, "bias": bias is not None}
    c.module(end, tensor, "nn.Linear", arguments, weights, what="fc", nodes=nodes)
    return True


@LOWERINGS.of("BatchMatMul BatchMatMulV2 BatchMatMulV3")
def product(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    texts = []
    for ref, flags in zip(node.inputs, (("transpose_a", "adj_x"), ("transpose_b", "adj_y")), strict=False):
        text = o.last(c.tensor(ref))
        texts.append(f"{text}.mT" if any(node.flag(flag) for flag in flags) else text)
    if len(texts) != 2:
        raise Untranslated("it has fewer than two inputs")
    c.expression(node, o, f"{texts[0]} @ {texts[1]}", what="matmul")
