"""describe_loop: a loop's layer in words: the cell that it repeats, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from porter.graph.analysis.control.loops import Loop
from porter.graph.analysis.costs import COUNTED, multiply_adds
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.folding.new_layer import CONVOLUTION_OPS
from porter.graph.analysis.layers import LOOP, RNN, Layer
from porter.graph.graph import Graph
from porter.graph.shapes import size_text


def loop_products(loop: Loop, data: DataPath) -> int | None:
    """Return the multiply-adds of all steps of a loop, None if their number or a shape is unknown."""
    once = products_of_a_step(loop, data)
    return None if once is None or (loop.steps is None and once) else once * (loop.steps or 0)


def products_of_a_step(loop: Loop, data: DataPath) -> int | None:
    """Return the multiply-adds of one step, with all steps of the loops inside."""
    inside = {name for inner in loop.inner for name in inner.members}
    graph = data.view.file
    parts = [multiply_adds(graph.nodes[name], data.shapes) for name in _forward(loop) if name not in inside]
    parts += [loop_products(inner, data) for inner in loop.inner]
    return sum(part or 0 for part in parts) if None not in parts else None


def describe_loop(layer: Layer, data: DataPath) -> None:
    """Set the kind, the detail and the numbers of a layer that is a loop; other layers stay as they are."""
    loop = next((data.view.loops[name] for name in layer.nodes if name in data.view.loops), None)
    if loop is None:
        return
    steps = "steps unknown" if loop.steps is None else f"{loop.steps:,} step{'' if loop.steps == 1 else 's'}"
    cell, kind = _cell(loop, data)
    layer.kind = kind
    layer.detail = ", ".join(part for part in (cell, steps) if part)
    if loop.steps is not None:
        layer.numbers["steps"] = float(loop.steps)
    results = [shape for name in loop.exits if (shape := data.shapes.of(name))]
    layer.shape = results[0] if results else layer.shape


def _forward(loop: Loop) -> list[str]:
    """Return the nodes of a step without those that its gradient adds to the loop."""
    return [name for name in loop.members if not name.startswith("gradients")]


def _cell(loop: Loop, data: DataPath) -> tuple[str, str]:
    """Return what one step computes, and the word for the loop: rnn if it has a recurrent cell."""
    graph = data.view.file
    members = _forward(loop)
    ops = Counter(graph.nodes[name].op for name in members)
    products = [name for name in members if graph.nodes[name].op in COUNTED]
    sizes = ", ".join(_product_text(name, data) for name in products[:3])
    more = f" and {len(products) - 3} more" if len(products) > 3 else ""
    name, count = _recurrent(graph, members, ops)
    if name:
        convolves = "conv " if any(CONVOLUTION_OPS.get(graph.nodes[at].op) == "conv" for at in products) else ""
        cells = f"{count} {convolves}{name} cells" if count > 1 else f"{convolves}{name} cell"
        return f"{cells} of {sizes}{more}" if sizes else cells, RNN
    return f"{sizes}{more}", LOOP


def _recurrent(graph: Graph, members: Iterable[str], ops: Counter[str]) -> tuple[str, int]:
    """Return the kind of a loop's cells by their gates, and the number of cells.

    An LSTM splits a product into four parts, a GRU one into two (Hochreiter and Schmidhuber 1997; Cho et al. 2014).
    """
    splits = Counter(graph.nodes[name].integer("num_split") for name in members if graph.nodes[name].op == "Split")
    gates = ops["Sigmoid"] and ops["Tanh"]
    if gates and splits[4]:
        return "LSTM", splits[4]
    if gates and splits[2]:
        return "GRU", splits[2]
    plain = ops["Tanh"] + ops["Relu"]
    return ("RNN", plain) if plain and ops["MatMul"] and not ops["Sigmoid"] else ("", 0)


def _product_text(name: str, data: DataPath) -> str:
    """Return a product's kind, kernel and channels."""
    node = data.view.file.nodes[name]
    weights = data.shapes[node.inputs[1]] if len(node.inputs) > 1 else None
    kind = CONVOLUTION_OPS.get(node.op, node.op)
    if not weights or len(weights) < 2:
        return kind
    kernel = f" {size_text(weights[:-2])}" if len(weights) > 2 else ""
    return f"{kind}{kernel} {size_text(weights[-2:-1])}->{size_text(weights[-1:])}"
