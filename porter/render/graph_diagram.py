"""Diagrams of a network's blocks and of one block's layers, drawn for the SVG file and the page."""

from __future__ import annotations

from collections.abc import Sequence

from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.blocks import Block, Group, cost, widths, within
from porter.graph.analysis.describe import describe
from porter.graph.analysis.layers import CONVOLUTIONS, Layer, spatial
from porter.graph.shapes import Shape
from porter.render.diagram import Box, Diagram, Wire, lay_out
from porter.render.text import amount, printable, shorten

LONGEST = 30
_STYLES = {
    "add": "join",
    "concat": "join",
    "multiply": "join",
    "softmax": "act",
    "activation": "act",
    "batch norm": "act",
}


def style(layer: Layer) -> str:
    """Return the style that colours a layer's box."""
    if layer.kind in CONVOLUTIONS:
        return "dense" if layer.kind == "dense" else "conv"
    return "pool" if "pool" in layer.kind or layer.kind == "mean" else _STYLES.get(layer.kind, "other")


def diagram_of_layers(block: Block) -> Diagram:
    """Draw a block's layers; dashed boxes on top are the tensors that it reads from outside."""
    boxes: list[Box] = []
    wires: list[Wire] = []
    place: dict[int | str, int] = {}
    for source in block.inputs():
        place[_key(source)] = len(boxes)
        name = source if isinstance(source, str) else source.name
        boxes.append(Box(shorten(within(name, block.name), LONGEST), "", "input"))
    for layer in block.layers:
        place[id(layer)] = len(boxes)
        short = within(layer.name, block.name)
        boxes.append(Box(shorten(short, LONGEST), _lines(layer), style(layer), layer.name))
        for source in layer.inputs:
            start = place.get(_key(source))
            if start is not None:
                wires.append(Wire(start, place[id(layer)], _size(None if isinstance(source, str) else source.shape)))
    return lay_out(boxes, _once(wires))


def diagram_of_groups(analysis: Analysis, groups: Sequence[Group]) -> Diagram:
    """Draw a network's blocks; a block that repeats is one stacked box."""
    boxes: list[Box] = []
    place: dict[int | str, int] = {}
    for name in analysis.paths.inputs:
        place[name] = len(boxes)
        boxes.append(Box(shorten(name, LONGEST), _size(analysis.shapes.of(name)), "input"))
    for group in groups:
        place |= {id(layer): len(boxes) for layer in group.layers}
        boxes.append(_group_box(group))
    wires: list[Wire] = []
    for layer in (layer for group in groups for layer in group.layers):
        for source in layer.inputs:
            start, end = place.get(_key(source)), place[id(layer)]
            if start is not None and start != end:
                shape = analysis.shapes.of(source) if isinstance(source, str) else source.shape
                wires.append(Wire(start, end, _size(shape)))
    return lay_out(boxes, _once(wires))


def _size(shape: Shape) -> str:
    return spatial(shape) if shape else ""


def _lines(layer: Layer) -> str:
    """Return a layer's description on two lines: its own op, and the ops folded onto it."""
    first, plus, rest = printable(describe(layer)).partition(" + ")
    return f"{first}\n+ {rest}" if plus else first


def _group_box(group: Group) -> Box:
    _, work = cost(group)
    block = group.blocks[0]
    if group.times == 1 and len(block.layers) == 1:
        layer = block.layers[0]
        return Box(shorten(group.name, LONGEST), _lines(layer), style(layer), block.name)
    what = f"{group.times} times" if group.times > 1 else f"{len(block.layers)} layers"
    sizes = [str(width) for width in widths(group) if width is not None]
    wide = f", {sizes[0]}{f' to {sizes[-1]}' if len(sizes) > 1 else ''} channels" if sizes and group.times > 1 else ""
    return Box(shorten(group.name, LONGEST), f"{what}{wide}, {amount(work)}", "block", group.name, group.times > 1)


def _key(source: Layer | str) -> int | str:
    return source if isinstance(source, str) else id(source)


def _once(wires: Sequence[Wire]) -> list[Wire]:
    return list({(wire.source, wire.target, wire.label): wire for wire in wires}.values())
