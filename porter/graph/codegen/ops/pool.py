"""Max and average pools, 2D and 3D."""

from __future__ import annotations

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.ops.convolution import one, padding, pictures, spatial
from porter.graph.codegen.step import Call, Literal
from porter.graph.codegen.tensor import Untranslated
from porter.graph.graph import Node

LOWERINGS = Lowerings()


@LOWERINGS.of("MaxPool MaxPoolV2 MaxPoolWithArgmax MaxPool3D AvgPool AvgPool3D")
def pool(c: Context, node: Node) -> None:
    tensor = pictures(c, node)
    space = tensor.rank - 2
    sizes = node.ints("ksize") or tuple(c.ints(node, 1))
    steps = node.ints("strides") or tuple(c.ints(node, 2))
    sides, stride = spatial(node, sizes, tensor.rank), spatial(node, steps, tensor.rank)
    if any(outer != 1 for values in (sizes, steps) for outer in (values[0], values[1 if node.channels_first else -1])):
        raise Untranslated("it pools over the batch or the channels")
    pads, same = padding(node, sides, stride, (1,) * space)
    average = node.op.startswith("Avg")
    arguments: dict[str, Literal] = {"kernel_size": one(sides), "stride": one(stride), "padding": one(pads)}
    if average and any(pads):
        arguments["count_include_pad"] = False
    kind = "Avg" if average else "Max"
    module, helper = f"nn.{kind}Pool{space}d", f"Same{kind}Pool{space}d"
    wide: dict[str, Literal] = {"kernel_size": one(sides), "stride": one(stride)}
    general = Call(helper, wide, frozenset({helper})) if node.text("padding") == "SAME" else None
    what = f"{kind.lower()} pool"
    first = not node.channels_first
    if same:
        c.module(node, tensor, helper, wide, first=first, what=what, helpers={helper}, general=general)
    else:
        c.module(node, tensor, module, arguments, first=first, what=what, general=general)
