"""Pictures of a network's blocks and of one block's layers."""

from __future__ import annotations

from collections.abc import Sequence

from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.blocks import Block, Group, cost, widths, within
from porter.graph.analysis.describe import describe
from porter.graph.analysis.layers import CONVOLUTIONS, Layer, spatial
from porter.render.drawing import Box, Picture, Wire, draw_picture
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
    """Return the class that colours a layer's box."""
    if layer.kind in CONVOLUTIONS:
        return "dense" if layer.kind == "dense" else "conv"
    return "pool" if "pool" in layer.kind or layer.kind == "mean" else _STYLES.get(layer.kind, "other")


def draw_layers(block: Block) -> Picture:
    """Draw a block's layers, with what it reads on top and a box below for what others read of it."""
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
            at = place.get(_key(source))
            shape = None if isinstance(source, str) else source.shape
            if at is not None:
                wires.append(Wire(at, place[id(layer)], spatial(shape) if shape else ""))
    return draw_picture(boxes, _once(wires))


def draw_groups(analysis: Analysis, groups: Sequence[Group]) -> Picture:
    """Draw the network's blocks; one that repeats is one box."""
    boxes: list[Box] = []
    owner: dict[int, int] = {}
    wires: list[Wire] = []
    inputs: dict[str, int] = {}
    for name in analysis.paths.inputs:
        inputs[name] = len(boxes)
        shape = analysis.shapes.of(name)
        boxes.append(Box(shorten(name, LONGEST), spatial(shape) if shape else "", "input"))
    for group in groups:
        at = len(boxes)
        boxes.append(_group_box(group))
        for layer in group.layers:
            owner[id(layer)] = at
        for layer in group.layers:
            for source in layer.inputs:
                from_ = inputs.get(source) if isinstance(source, str) else owner.get(id(source))
                if from_ is not None and from_ != at:
                    shape = analysis.shapes.of(source) if isinstance(source, str) else source.shape
                    wires.append(Wire(from_, at, spatial(shape) if shape else ""))
    return draw_picture(boxes, _once(wires))


def _lines(layer: Layer) -> str:
    """Return a layer's description on two lines: what it computes, and what is done to that."""
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
