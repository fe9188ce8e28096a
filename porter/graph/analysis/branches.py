"""branches: how a graph's outputs depend on each other: one on the way to another, or an auxiliary head."""

from __future__ import annotations

from collections.abc import Iterable

from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.layers import CONVOLUTIONS, Layer

_SHORTER = 3
"""An auxiliary head leaves the network where this many times its own convolutions are still to come."""
_MOST = 16
"""Of more outputs, none is called a head: each is compared with each other one."""


def branches(analysis: Analysis) -> dict[str, str]:
    """Return words for the outputs that lie on the way to another one, or that leave the network early."""
    outputs = analysis.paths.outputs
    if not 1 < len(outputs) <= _MOST:
        return {}
    ends = {name: layer for layer in analysis.layers for name in outputs if name in layer.nodes}
    above = {name: _above(layer) for name, layer in ends.items()}
    found: dict[str, str] = {}
    for name in ends:
        for other in ends:
            if other != name and name not in found and (words := _words(analysis, above, name, other)):
                found[name] = words
    return found


def _words(analysis: Analysis, above: dict[str, dict[int, Layer]], name: str, other: str) -> str:
    own, beyond = above[name].keys() - above[other].keys(), above[other].keys() - above[name].keys()
    if not own:
        return f"on the way to {other}" if beyond else ""
    shapes = {analysis.shapes.of(name), analysis.shapes.of(other)}
    if len(shapes) > 1 or _weighted(above[other], beyond) < _SHORTER * max(1, _weighted(above[name], own)):
        return ""
    read = [source for at in own for source in above[name][at].inputs]
    left = [source.name for source in read if isinstance(source, Layer) and id(source) not in own]
    return f"an auxiliary head behind {left[0]}" if left else ""


def _weighted(layers: dict[int, Layer], among: Iterable[int]) -> int:
    return sum(layers[at].kind in CONVOLUTIONS for at in among)


def _above(end: Layer) -> dict[int, Layer]:
    """Return ``end`` and the layers that it depends on, by their ids."""
    found: dict[int, Layer] = {}
    waiting = [end]
    while waiting:
        layer = waiting.pop()
        if id(layer) not in found:
            found[id(layer)] = layer
            waiting += [source for source in layer.inputs if isinstance(source, Layer)]
    return found
