"""Transposed convolutions."""

from __future__ import annotations

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.ops.array import sizes_of
from porter.graph.codegen.ops.convolution import bias_behind, known, one, pictures, spatial
from porter.graph.codegen.step import Literal, Weight
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref

LOWERINGS = Lowerings()


@LOWERINGS.of("Conv2DBackpropInput Conv3DBackpropInputV2")
def transposed_convolution(c: Context, node: Node) -> None:
    """The output is cut or filled up to the size that the graph states: mostly stride times the input's."""
    tensor = pictures(c, node, 2)
    *sides, outputs, inputs = known(c.shape(node.inputs[1]))
    rank = len(sides) + 2
    stride = spatial(node, node.ints("strides"), rank)
    if set(node.ints("dilations") or (1,)) != {1} or node.text("padding") not in ("SAME", "VALID"):
        raise Untranslated("a transposed convolution with dilations or explicit padding")
    name = c.weight(node.inputs[1])
    places = range(2, rank) if node.channels_first else range(1, rank - 1)
    order = (rank - 1, rank - 2, *range(rank - 2))
    weights = [Weight(name, "weight", order, (inputs, outputs, *sides))]
    pads = [_pads(c, node, at, k, s) for at, k, s in zip(places, sides, stride, strict=True)]
    turned = any(pad is not None and pad[1] < 0 for pad in pads)
    exact = all(k >= s and k - s == 2 * pad[0] - pad[1] for k, s, pad in zip(sides, stride, pads, strict=True) if pad)
    if None in pads or (turned and not exact) or not name:
        _to_size(c, node, tensor, weights[0], stride, list(places))
        return
    bias = bias_behind(c, node, outputs)
    end, nodes = (bias.end, [node.name, *bias.nodes]) if bias else (node, [node.name])
    weights += [Weight(bias.weights, "bias", (), (outputs,))] if bias else []
    even = [pad for pad in pads if pad is not None]
    arguments: dict[str, Literal] = {
        "in_channels": inputs, "out_channels": outputs, "kernel_size": one(sides), "stride": one(stride),
        "padding": one([pad for pad, _ in even]), "output_padding": one([more for _, more in even]),
        "groups": 1, "bias": bias is not None,
    }  # fmt: skip
    module, helpers = f"nn.ConvTranspose{rank - 2}d", set[str]()
    if turned:
        module = f"SameConvTranspose{rank - 2}d"
        helpers = {module}
        arguments |= {"padding": 0, "output_padding": 0}
    c.module(
        end,
        tensor,
        module,
        arguments,
        weights,
        first=not node.channels_first,
        what="deconv",
        helpers=helpers,
        nodes=nodes,
    )


def _pads(c: Context, node: Node, at: int, kernel: int, stride: int) -> tuple[int, int] | None:
    """Return padding and output padding of an axis, as torch counts them; None where the size is another one.

    torch cuts ``padding`` at both ends and leaves ``output_padding`` more at the end; SAME may cut one more at the end,
    a negative output padding.
    """
    found = set()
    for run in (*c.facts.runs, c.facts.odd):
        size, given = run[Ref(node.name)], run[node.inputs[2]]
        if size is None or given is None or size[at] is None or given[at] is None:
            if run is c.facts.odd:
                continue  # the graph takes no such images
            return None
        out, places = size[at] or 0, given[at] or 0
        full = (places - 1) * stride + kernel
        before = max(full - out, 0) // 2 if node.text("padding") == "SAME" else 0
        found.add((before, out - full + 2 * before))
    pad, more = found.pop()
    if found or more >= stride or (more < 0 and (node.text("padding") != "SAME" or more != -1)):
        return None
    # A negative output padding is what SAME's helper cuts; it knows sizes of stride times the input's alone.
    return None if more < 0 and kernel - stride - 2 * pad != 1 else (pad, more)


def _to_size(
    c: Context,
    node: Node,
    tensor: Tensor,
    weight: Weight,
    stride: tuple[int, ...],
    places: list[int],
) -> None:
    """Add a transposed convolution to any size, such as that of another feature map, or by a computed kernel."""
    o = Operands(c.tensor)
    stated = sizes_of(c, node, 0)
    sizes = [stated[at] for at in places]
    if weight.name:
        kernel = o.weight(weight.name, weight.order, weight.shape)
    else:
        kernel = f"{o.last(c.tensor(node.inputs[1]))}.permute{weight.order}"
    same = node.text("padding") == "SAME"
    text = f"conv_transpose({o(tensor)}, {kernel}, {stride}, ({o.sizes(sizes)}), same={same})"
    c.expression(node, o, text, first=not node.channels_first, what="deconv", helpers={"conv_transpose"})
