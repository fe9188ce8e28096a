"""joins: sentences that say what a block's concats read from afar, such as the skip connections of a U-Net."""

from __future__ import annotations

from collections import Counter

from porter.graph.analysis.blocks import Block, Group, tails
from porter.graph.analysis.layers import Layer

JOINS = frozenset({"add", "multiply", "subtract", "divide", "maximum", "minimum", "concat"})
"""The kinds of layer that join tensors."""
_MOST = 8
"""Of more joins in one block, the first ones are named."""


def joins(group: Group) -> list[str]:
    """Return what a lone join of more than two layers reads, or what the concats of ``group`` read from afar."""
    if len(group.layers) == 1:
        (layer,) = group.layers
        return [f"of {_listed(layer.inputs)}"] if layer.kind in JOINS and len(layer.inputs) > 2 else []
    found = [(layer, afar) for repeat in group.repeats() for layer in repeat.layers if (afar := _afar(repeat, layer))]
    names = tails([layer.name for layer, _ in found])
    parts = [f"{name} {_listed(afar)}" for name, (_, afar) in zip(names, found, strict=True)]
    if not parts:
        return []
    more = f", and {len(parts) - _MOST} more" if len(parts) > _MOST else ""
    first = parts[0].replace(names[0], f"{names[0]} also reads", 1)
    return [", ".join([first, *parts[1:_MOST]]) + more]


def _afar(block: Block, layer: Layer) -> list[Layer | str]:
    """Return what a concat alone reads from outside its block: what other layers read too is the block's input."""
    if layer.kind != "concat":
        return []
    inside = {id(other) for other in block.layers}
    readers = Counter(id(source) for other in block.layers for source in other.inputs)
    return [source for source in layer.inputs if id(source) not in inside and readers[id(source)] == 1]


def _listed(sources: list[Layer | str]) -> str:
    names = ["/".join((source if isinstance(source, str) else source.name).split("/")[-2:]) for source in sources]
    shown = names[:_MOST] + ([f"{len(names) - _MOST} more"] if len(names) > _MOST else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
