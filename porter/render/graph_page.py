"""The HTML page of a graph: one offline file with nested blocks, diagrams, search and bars."""

from __future__ import annotations

import json
from typing import Any

from porter.files.installed import porter_version
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.attributes import attributes
from porter.graph.analysis.blocks import Block, Group, cost, widths
from porter.graph.analysis.describe import describe
from porter.graph.analysis.find_blocks import find_blocks
from porter.graph.analysis.layers import Layer, spatial
from porter.graph.graph import Node
from porter.graph.shapes import size_text
from porter.render.diagram import Box, Diagram, wire_path
from porter.render.graph_diagram import diagram_of_groups, diagram_of_layers
from porter.render.graph_facts import graph_facts, training_facts
from porter.render.html import render_template
from porter.render.svg import COLOURS
from porter.render.text import amount
from porter.verbs.inspect import GraphInspection

DRAWN = 70
"""A block with more layers is drawn as the blocks inside it, if it has several."""


def render_graph_page(result: GraphInspection) -> str:
    """Return the page. Raises MissingPackageError if jinja2 is not installed."""
    # An escaped "<" keeps a name from ending the script element that holds the data.
    data = json.dumps(_Page(result.analysis).data(), separators=(",", ":")).replace("<", "\\u003c")
    return render_template(
        "graph_page.html",
        title=result.path.name,
        what=result.recognised.sentence if result.recognised else "",
        command=(result.recognised.command or "") if result.recognised else "",
        facts=[
            ("format", result.analysis.source.format),
            *training_facts(result),
            *graph_facts(result.analysis, result.recognised),
        ],
        colours=COLOURS,
        data=data,
        version=porter_version(),
    )


class _Page:
    """The page's data: blocks, layers and nodes refer to each other by number, as the page's script reads them.

    The template documents the one-letter keys. A negative number -1 - n refers to layer n.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.blocks: list[dict[str, Any]] = []
        self.layer_of = {id(layer): at for at, layer in enumerate(analysis.layers)}
        self.home: dict[int, int] = {}

    def data(self) -> dict[str, Any]:
        analysis = self.analysis
        self._add_outer("", Group([Block("", analysis.layers)]), analysis.groups, -1)
        purposes = sorted(set(analysis.paths.aside.values()))
        return {
            "blocks": self.blocks,
            "layers": [self._layer(layer) for layer in analysis.layers],
            "nodes": self._nodes(purposes),
            "purposes": purposes,
        }

    def _nodes(self, purposes: list[str]) -> list[list[Any]]:
        """Return each node as [name, op, shape, layer or -1, purpose or -1, inputs, attributes]."""
        nodes, aside = self.analysis.graph.nodes, self.analysis.paths.aside
        owner = {name: at for at, layer in enumerate(self.analysis.layers) for name in layer.nodes}
        numbers = {name: at for at, name in enumerate(nodes)}

        def row(node: Node) -> list[Any]:
            shape = self.analysis.shapes.of(node.name)
            return [
                node.name,
                node.op,
                "?" if shape is None else size_text(shape),
                owner.get(node.name, -1),
                purposes.index(aside[node.name]) if node.name in aside else -1,
                [numbers[ref.node] for ref in node.inputs if ref.node in numbers],
                ", ".join(f"{k} {v}" for k, v in attributes(node).items()) if node.name in owner else "",
            ]

        return [row(node) for node in nodes.values()]

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

    def _add_outer(self, name: str, group: Group, inner: list[Group], parent: int) -> int:
        """Add a block that is drawn as the groups inside it; return its number."""
        number = self._add(name, group, parent)
        rows, targets = [], {}
        for part in inner:
            at = self._add_group(part, number)
            targets[part.name if part.times > 1 or len(part.layers) > 1 else part.blocks[0].name] = at
            rows.append(_row(at, part.name, part))
        self.blocks[number] |= {"d": _diagram(diagram_of_groups(self.analysis, inner), targets), "r": rows}
        return number

    def _add_group(self, group: Group, parent: int) -> int:
        """Add a group and all that is inside it; return its number."""
        if group.times > 1:
            return self._add_repeats(group, parent)
        block = group.blocks[0]
        inner = find_blocks(block.layers) if len(block.layers) > DRAWN else []
        if len(inner) > 1:
            return self._add_outer(block.name, group, inner, parent)
        return self._add_layers(block, group, parent)

    def _add_repeats(self, group: Group, parent: int) -> int:
        number = self._add(group.name, group, parent)
        rows = []
        for repeat in group.repeats():
            part = Group([repeat])
            rows.append(_row(self._add_group(part, number), repeat.name, part))
        # The second repeat stands for all, because a stage often starts with an unusual one.
        self.blocks[number] |= {"r": rows, "same": rows[min(1, len(rows) - 1)][0]}
        return number

    def _add_layers(self, block: Block, group: Group, parent: int) -> int:
        number = self._add(block.name, group, parent)
        rows, targets = [], {}
        for layer in block.layers:
            self.home[id(layer)] = number
            targets[layer.name] = -1 - self.layer_of[id(layer)]
            rows.append([targets[layer.name], layer.name, layer.parameters, layer.multiply_adds, 1, 1])
        self.blocks[number] |= {"d": _diagram(diagram_of_layers(block), targets), "r": rows}
        return number

    def _add(self, name: str, group: Group, parent: int) -> int:
        """Add a block without its diagram and rows; return its number."""
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
                "f": [*([f"each: {group.what}"] if group.what else []), *group.differences],
                "s": spatial(group.blocks[-1].shape) if group.blocks[-1].layers else "",
            }
        )
        return len(self.blocks) - 1


def _row(number: int, name: str, group: Group) -> list[Any]:
    """Return a table row: [block, name, parameters, multiply-adds, repeats, layers]."""
    parameters, work = cost(group)
    return [number, name, parameters, work, group.times, len(group.layers)]


def _diagram(diagram: Diagram, targets: dict[str, int]) -> dict[str, Any]:
    """Return a diagram as numbers: boxes with the target of a click, wires as paths, and the wires' labels."""

    def row(box: Box) -> list[Any]:
        place = [round(side) for side in (box.x, box.y, box.width, box.height)]
        return [*place, box.title, box.text, box.style, targets.get(box.target), box.stacked]

    return {
        "w": round(diagram.width),
        "h": round(diagram.height),
        "b": [row(box) for box in diagram.boxes],
        "e": [wire_path(wire) for wire in diagram.wires],
        "l": [[label, round(x), round(y)] for label, x, y in diagram.labels()],
    }
