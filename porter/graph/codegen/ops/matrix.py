"""Matrix products."""

from __future__ import annotations

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.ops.convolution import bias_behind
from porter.graph.codegen.step import Literal, Weight
from porter.graph.codegen.tensor import Untranslated
from porter.graph.graph import Node

LOWERINGS = Lowerings()


@LOWERINGS.of("MatMul")
def matmul(c: Context, node: Node) -> None:
    name = c.weight(node.inputs[1])
    if not name or node.flag("transpose_a"):
        product(c, node)
        return
    shape = [size or 0 for size in c.shape(node.inputs[1])]
    turned = node.flag("transpose_b")
    inputs, outputs = shape[::-1] if turned else shape
    weights = [Weight(name, "weight", () if turned else (1, 0), (outputs, inputs))]
    bias = bias_behind(c, node, outputs)
    end, nodes = node, [node.name]
    if bias is not None:
        end, nodes = bias[0], [node.name, bias[0].name]
        weights.append(Weight(bias[1], "bias", (), (outputs,)))
    arguments: dict[str, Literal] = {"in_features": inputs, "out_features": outputs, "bias": bias is not None}
    c.module(end, c.tensor(node.inputs[0]), "nn.Linear", arguments, weights, what="fc", nodes=nodes)


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
