"""Resizing: bilinear, bicubic, nearest and by area, under each of TensorFlow's corner rules."""

from __future__ import annotations

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.ops.array import sizes_of
from porter.graph.codegen.sizes import Size
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref

LOWERINGS = Lowerings()


@LOWERINGS.of("ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea")
def resize(c: Context, node: Node) -> None:
    tensor = c.first(node.inputs[0])
    if tensor.rank != 4:
        raise Untranslated("it resizes a tensor that has not four axes")
    align, half = node.flag("align_corners"), node.flag("half_pixel_centers")
    if c.facts.same_shape(node.inputs[0], Ref(node.name)):
        c.alias(node, tensor)
        return
    o = Operands(c.tensor)
    x, size = o(tensor), _size(c, o, node, tensor)
    pair = size if "," in size else f"({size}, {size})"
    mode, helper = "", ""
    if node.op == "ResizeBilinear":
        corners = f'bilinear", align_corners={align}'
        mode, helper = (corners, "") if align or half else ("", f"resize_linear({x}, {pair})")
    elif node.op == "ResizeNearestNeighbor":
        kind = 'nearest-exact"' if half else 'nearest"'
        mode, helper = ("", f"resize_nearest({x}, {pair})") if align else (kind, "")
    elif node.op == "ResizeArea":
        helper = f"resize_area({x}, {pair}{', align=True' if align else ''})"
    else:
        helper = f"resize_cubic({x}, {pair}, align={align}, half={half})"
    text = helper or f'F.interpolate({x}, {size}, mode="{mode})'
    c.expression(node, o, text, first=True, what="resize", helpers={helper.partition("(")[0]} if helper else ())


def _size(c: Context, o: Operands, node: Node, tensor: Tensor) -> str:
    """Return the new height and width, one number if they are equal."""
    height, width = sizes_of(c, node, 1)
    texts = [o.size(side) for side in (height, width)]
    return texts[0] if texts[0] == texts[1] and not isinstance(height, Size) else f"({', '.join(texts)})"
