"""One offline HTML page of a graph: folded by scope and by repetition, with pictures, search and bars."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from porter.errors import MissingPackageError
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.blocks import Block, Group, cost, find_blocks, widths
from porter.graph.analysis.describe import describe
from porter.graph.analysis.layers import Layer, spatial
from porter.graph.analysis.search import attributes
from porter.render.drawing import Picture, wire_path
from porter.render.overview import facts
from porter.render.pictures import draw_groups, draw_layers
from porter.render.svg import COLOURS
from porter.render.text import amount
from porter.verbs.inspect import GraphInspection

DRAWN = 70
"""A block of more layers is drawn as the blocks within it, where it has any."""


def write_html(result: GraphInspection) -> str:
    """Return the page. Raises MissingPackageError where jinja2 is not installed."""
    try:
        import jinja2
    except ImportError:
        raise MissingPackageError("--html needs jinja2: pip install 'porter[report]'") from None
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("graph.html.j2")
    # "<" is written as an escape, so that no name can end the script that the data stands in.
    data = json.dumps(_Page(result.analysis).data(), separators=(",", ":")).replace("<", "\\u003c")
    return template.render(
        title=result.path.name,
        what=result.recognised.sentence if result.recognised else "",
        command=(result.recognised.command or "") if result.recognised else "",
        facts=[("format", result.analysis.source.format), *facts(result.analysis)],
        colours=COLOURS,
        data=data,
        version=version("tensorporter"),
    )


class _Page:
    """Collects blocks, layers and nodes by number, as the page's script reads them."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.blocks: list[dict[str, Any]] = []
        self.layer_of = {id(layer): at for at, layer in enumerate(analysis.layers)}
        self.home: dict[int, int] = {}

    def data(self) -> dict[str, Any]:
        analysis = self.analysis
        self._group_block("", Group([Block("", analysis.layers)]), analysis.groups, -1)
        owner = {name: at for at, layer in enumerate(analysis.layers) for name in layer.nodes}
        numbers = {name: at for at, name in enumerate(analysis.graph.nodes)}
        purposes = sorted(set(analysis.paths.aside.values()))
        nodes = []
        for node in analysis.graph.nodes.values():
            shape = analysis.shapes.of(node.name)
            text = "?" if shape is None else "x".join("?" if size is None else str(size) for size in shape)
            aside = analysis.paths.aside.get(node.name)
            nodes.append(
                [
                    node.name,
                    node.op,
                    text,
                    owner.get(node.name, -1),
                    purposes.index(aside) if aside else -1,
                    [numbers[ref.node] for ref in node.inputs if ref.node in numbers],
                    ", ".join(f"{k} {v}" for k, v in attributes(node).items()) if node.name in owner else "",
                ]
            )
        layers = [self._layer(layer) for layer in analysis.layers]
        return {"blocks": self.blocks, "layers": layers, "nodes": nodes, "purposes": purposes}

    def _layer(self, layer: Layer) -> dict[str, Any]:
        return {
            "n": layer.name,
            "t": describe(layer),
            "s": spatial(layer.shape),
            "p": layer.parameters,
            "m": layer.multiply_adds,
            "v": layer.variables,
            "e": layer.epsilon,
            "b": self.home.get(id(layer), 0),
        }

    def _group_block(self, name: str, group: Group, inner: list[Group], parent: int) -> int:
        """Add a block whose picture is that of the groups within it; return its number."""
        number = self._add(name, group, parent)
        rows, targets = [], {}
        for part in inner:
            at = self._part(part, number)
            targets[part.name if part.times > 1 or len(part.layers) > 1 else part.blocks[0].name] = at
            parameters, work = cost(part)
            rows.append([at, part.name, parameters, work, part.times, len(part.layers)])
        self.blocks[number] |= {"d": _drawn(draw_groups(self.analysis, inner), targets), "r": rows}
        return number

    def _part(self, group: Group, parent: int) -> int:
        if group.times > 1:
            number = self._add(group.name, group, parent)
            rows = []
            for repeat in group.repeats():
                at = self._part(Group([repeat]), number)
                parameters, work = cost(Group([repeat]))
                rows.append([at, repeat.name, parameters, work, 1, len(repeat.layers)])
            # The block is shown once: in the picture of its second repeat, as a stage's first is often odd.
            self.blocks[number] |= {"r": rows, "same": rows[min(1, len(rows) - 1)][0]}
            return number
        block = group.blocks[0]
        within = find_blocks(block.layers) if len(block.layers) > DRAWN else []
        if len(within) > 1:
            return self._group_block(block.name, group, within, parent)
        number = self._add(block.name, group, parent)
        for layer in block.layers:
            self.home[id(layer)] = number
        picture = draw_layers(block)
        rows = [[-1 - self.layer_of[id(la)], la.name, la.parameters, la.multiply_adds, 1, 1] for la in block.layers]
        targets = {layer.name: -1 - self.layer_of[id(layer)] for layer in block.layers}
        self.blocks[number] |= {"d": _drawn(picture, targets), "r": rows}
        return number

    def _add(self, name: str, group: Group, parent: int) -> int:
        parameters, work = cost(group)
        sizes = [str(width) for width in widths(group) if width is not None] if group.times > 1 else []
        self.blocks.append(
            {
                "n": name,
                "u": parent,
                "p": parameters,
                "m": work,
                "w": amount(work),
                "x": group.times,
                "c": ", ".join(sizes),
                "f": group.differences,
                "s": spatial(group.blocks[-1].shape) if group.blocks[-1].layers else "",
            }
        )
        return len(self.blocks) - 1


def _drawn(picture: Picture, targets: dict[str, int]) -> dict[str, Any]:
    """Return a picture as numbers: boxes with what a click leads to, and wires as paths."""
    shown: set[tuple[int, str]] = set()
    wires = []
    for wire in picture.wires:
        first = (wire.source, wire.label) not in shown
        shown.add((wire.source, wire.label))
        x, y = wire.points[0]
        wires.append([wire_path(wire), wire.label if first else "", round(x) + 5, round(y) + 13])
    boxes = [
        [
            round(b.x),
            round(b.y),
            round(b.width),
            round(b.height),
            b.title,
            b.text,
            b.style,
            targets.get(b.target),
            b.stacked,
        ]
        for b in picture.boxes
    ]
    return {"w": round(picture.width), "h": round(picture.height), "b": boxes, "e": wires}
