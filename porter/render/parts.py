"""One scope's layers, found nodes, and differences, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from porter.errors import plural
from porter.graph.analysis.blocks import within
from porter.graph.analysis.describe import describe
from porter.graph.analysis.difference import Difference
from porter.graph.analysis.layers import Layer, spatial
from porter.graph.analysis.scope import ScopeView
from porter.graph.analysis.search import Found
from porter.graph.shapes import Shape
from porter.render.overview import line
from porter.render.text import amount, printable, shorten, show_table

MOST_NODES = 200
MOST_DIFFERENT = 40
_NEIGHBOURS = 4


def show_scope(out: Console, view: ScopeView) -> None:
    """Print a block's layers in order, each with what it reads: a number is a line, a letter an input."""
    parameters, work = view.totals
    count = plural(len(view.layers), "layer")
    line(out, f"{printable(view.name)}: {count}, {parameters:,} parameters, {amount(work)} multiply-adds")
    if view.group is not None and view.group.times > 1:
        line(out, f"  one of {view.group.times} like it: {printable(view.group.name)}")
        for difference in view.group.differences:
            line(out, f"  {printable(difference)}")
    letters = {_key(source): _letter(at) for at, source in enumerate(view.inputs)}
    for source in view.inputs:
        name, shape = (source, None) if isinstance(source, str) else (source.name, source.shape)
        size = f"  {spatial(shape)}" if shape else ""
        line(out, f"  {letters[_key(source)]} = {printable(name)}{size}")
    out.print()
    rows = {id(layer): str(at) for at, layer in enumerate(view.layers, 1)}
    readers = {id(layer): names for layer, names in view.outputs}
    cells = []
    for layer in view.layers:
        wires = [letters.get(_key(s)) or rows.get(id(s), "?") for s in layer.inputs]
        name = within(layer.name, view.name)
        if id(layer) in readers:
            name += f"  -> {_some([within(reader, view.name) for reader in readers[id(layer)]])}"
        cells.append(
            (
                rows[id(layer)],
                " ".join(wires),
                describe(layer),
                spatial(layer.shape),
                f"{layer.parameters:,}" if layer.parameters else "",
                amount(layer.multiply_adds) if layer.multiply_adds != 0 else "",
                shorten(name, 110),
            )
        )
    header = ("", "reads", "layer", "output", "parameters", "multiply-adds", "name")
    show_table(out, header, cells, (0, 3, 4, 5))


def _key(source: Layer | str) -> int | str:
    return source if isinstance(source, str) else id(source)


def _letter(at: int) -> str:
    """Return a, b, …, z, a1, b1, …."""
    return chr(97 + at % 26) + (str(at // 26) if at >= 26 else "")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:2])
    return shown + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def show_found(out: Console, found: Sequence[Found], pattern: str) -> None:
    """Print the nodes that were found, each with its attributes and neighbours."""
    line(out, f"{plural(len(found), 'node')} with {pattern!r} in the name or op")
    for node in found[:MOST_NODES]:
        aside = f"  [{node.purpose}]" if node.purpose != "inference" else ""
        line(out, f"\n{printable(node.name)}  {node.op}  {node.dtype} {shape_text(node.shape)}{aside}")
        if node.attributes:
            line(out, "  " + printable(", ".join(f"{key} {value}" for key, value in node.attributes.items())))
        for sign, neighbours in (("<-", node.inputs), ("->", node.outputs)):
            for name, shape in neighbours[:_NEIGHBOURS]:
                line(out, f"  {sign} {printable(name)}  {shape_text(shape) if shape is not None else ''}".rstrip())
            if len(neighbours) > _NEIGHBOURS:
                line(out, f"  {sign} … and {len(neighbours) - _NEIGHBOURS} more")
    if len(found) > MOST_NODES:
        line(out, f"\n… and {len(found) - MOST_NODES} more: narrow the pattern, or take --json")


def shape_text(shape: Shape) -> str:
    """Return a whole shape, the batch too."""
    if shape is None:
        return "?"
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def show_difference(out: Console, result: Difference) -> None:
    """Print what differs between two graphs, by kind and then node by node."""
    line(out, f"a = {printable(result.first)}")
    line(out, f"b = {printable(result.second)}")
    if result:
        line(out, f"the same: {plural(result.same, 'node')}, with all attributes, shapes and constants")
        return
    line(out, f"  {plural(result.same, 'node')} the same")
    for what, nodes in (("only in a", result.only_first), ("only in b", result.only_second)):
        if nodes:
            ops = ", ".join(f"{count:,} {op}" for op, count in Counter(op for _, op in nodes).most_common(6))
            line(out, f"  {plural(len(nodes), 'node')} {what}: {ops}")
    if result.changed:
        kinds = ", ".join(f"{count:,} in {what}" for what, count in result.kinds().items())
        line(out, f"  {plural(len(result.changed), 'node')} differ{'s' if len(result.changed) == 1 else ''}: {kinds}")
    if result.alike and (result.only_first or result.only_second):
        line(out, "  the layers on the way to the outputs have the same structure in both")
    for sign, nodes in (("a", result.only_first), ("b", result.only_second)):
        if nodes:
            out.print()
        for name, op in nodes[:MOST_DIFFERENT]:
            line(out, f"only {sign}  {printable(name)}  {op}")
        if len(nodes) > MOST_DIFFERENT:
            line(out, f"only {sign}  … and {len(nodes) - MOST_DIFFERENT:,} more")
    first_hand = [change for change in result.changed if not change.follows]
    for change in first_hand[:MOST_DIFFERENT]:
        line(out, f"\n{printable(change.name)}  {change.op}")
        for what, first, second in change.parts:
            line(out, f"  {what}\n    a  {printable(first)}\n    b  {printable(second)}")
    if len(first_hand) > MOST_DIFFERENT:
        line(out, f"\n… and {len(first_hand) - MOST_DIFFERENT:,} more: --json has them all")
    if len(first_hand) < len(result.changed):
        line(out, f"\nthe other {len(result.changed) - len(first_hand):,} have another shape because an input has")
