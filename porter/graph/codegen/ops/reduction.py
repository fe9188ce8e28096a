"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Sequence

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.step import Literal
from porter.graph.codegen.tensor import Tensor
from porter.graph.graph import Node

LOWERINGS = Lowerings()
_POOL = "global pool"
_FUNCTIONS = {"Mean": "mean", "Sum": "sum", "Max": "amax", "Min": "amin", "All": "all", "Any": "any", "Prod": "prod"}


@LOWERINGS.of(*_FUNCTIONS)
def reduction(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    axes = sorted({axis % max(1, tensor.rank) for axis in c.ints(node, 1)})
    keep = node.flag("keep_dims")
    o = Operands(c.tensor)
    if not axes:
        c.alias(node, tensor)
        return
    left = tensor.without([at for at in range(tensor.rank) if keep or at not in axes])
    text = o.last(tensor) if left is None else o(tensor)
    places = axes if left is None else sorted(tensor.axis(axis) for axis in axes)
    dims = str(places[0]) if len(places) == 1 else f"({', '.join(map(str, places))})"
    kept = ", keepdim=True" if keep else ""
    what = _POOL if node.op == "Mean" and tensor.rank == 4 and axes == [1, 2] else node.op.lower()
    if what == _POOL and keep and tensor.first:
        add_global_pool(c, node, tensor)
        return
    if node.op == "Prod" and len(places) > 1:
        text = f"{text}" + "".join(f".prod({place}{kept})" for place in reversed(places))
    else:
        text = f"{text}.{_FUNCTIONS[node.op]}({dims}{kept})"
    c.expression(node, o, text, first=bool(left), what=what)


def add_global_pool(c: Context, node: Node, tensor: Tensor, nodes: Sequence[str] = ()) -> None:
    """Add the average of each channel of a map as a map of 1x1."""
    arguments: dict[str, Literal] = {"output_size": 1}
    text = "{0}.mean((2, 3), keepdim=True)"
    c.module(node, tensor, "nn.AdaptiveAvgPool2d", arguments, expression=text, first=True, what=_POOL, nodes=nodes)
