"""The nodes that a search finds, as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from porter.errors import plural
from porter.graph.analysis.paths import INFERENCE
from porter.graph.analysis.search import Found
from porter.graph.shapes import shape_text
from porter.render.text import print_line, printable

MOST_NODES = 200
_NEIGHBOURS = 4


def show_nodes(out: Console, found: Sequence[Found], pattern: str) -> None:
    """Print each node with its dtype, shape, attributes and neighbours."""
    print_line(out, f"{plural(len(found), 'node')} with {pattern!r} in the name or op")
    for node in found[:MOST_NODES]:
        _show_node(out, node)
    if len(found) > MOST_NODES:
        print_line(out, f"\n… and {len(found) - MOST_NODES} more: narrow the pattern; the JSON output lists all")


def _show_node(out: Console, node: Found) -> None:
    aside = f"  [{node.purpose}]" if node.purpose != INFERENCE else ""
    print_line(out, f"\n{printable(node.name)}  {node.op}  {node.dtype} {shape_text(node.shape, '?')}{aside}")
    if node.attributes:
        print_line(out, "  " + printable(", ".join(f"{key} {value}" for key, value in node.attributes.items())))
    for sign, neighbours in (("<-", node.inputs), ("->", node.outputs)):
        for name, shape in neighbours[:_NEIGHBOURS]:
            print_line(out, f"  {sign} {printable(name)}  {shape_text(shape, '')}".rstrip())
        if len(neighbours) > _NEIGHBOURS:
            print_line(out, f"  {sign} … and {len(neighbours) - _NEIGHBOURS} more")
