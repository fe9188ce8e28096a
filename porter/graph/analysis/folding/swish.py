"""find_swishes: the products x * gate(x) that are swish or hard swish."""

from __future__ import annotations

from typing import NamedTuple

from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.graph import Ref

_SCALAR_STEPS = frozenset({"Mul", "Add", "AddV2", "Relu6", "Sigmoid", "RealDiv", "Identity"})
"""The ops of a swish's gate. Any other op makes it another gate, such as squeeze-and-excitation."""
_LONGEST_GATE = 6


class Swish(NamedTuple):
    """One swish: the nodes of its gate, last first; the node ``x`` that it reads; and swish or hard swish."""

    inner: list[str]
    x: str
    name: str


def find_swishes(data: DataPath) -> dict[str, Swish]:
    """Return the swishes by the name of their product.

    The product becomes the only reader of x in ``data.readers``, as its gate is not a layer of its own.
    """
    found = {}
    for name in data.nodes:
        node = data.graph.nodes[name]
        if node.op != "Mul" or len(node.inputs) != 2:
            continue
        for x, gate in (node.inputs, node.inputs[::-1]):
            swish = _swish(data, x, gate)
            if swish is not None:
                found[name] = swish
                data.readers[x.node] -= 1
                break
    return found


def _swish(data: DataPath, x: Ref, gate: Ref) -> Swish | None:
    """Follow a gate back to x; return None if it does not lead there or is another function."""
    inner: list[str] = []
    at = gate.node
    while at in data.nodes and at != x.node and len(inner) < _LONGEST_GATE and data.readers.get(at) == 1:
        sources = data.sources(data.graph.nodes[at])
        if len(sources) != 1:
            break
        inner.append(at)
        at = sources[0]
    ops = [data.graph.nodes[name].op for name in inner]
    if at != x.node or not inner or not set(ops) <= _SCALAR_STEPS:
        return None
    if "Relu6" in ops:
        return Swish(inner, x.node, "hard swish")
    return Swish(inner, x.node, "swish") if ops == ["Sigmoid"] else None
