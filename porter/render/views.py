"""What `port inspect` prints or writes for each of its options."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from porter.files.atomic import replacing
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.blocks import Block
from porter.graph.analysis.difference import compare_graphs
from porter.graph.analysis.scope import scope_view
from porter.graph.analysis.search import find_nodes
from porter.mapping.draft_table import write_draft
from porter.render.overview import line, show_inspection
from porter.render.parts import show_difference, show_found, show_scope
from porter.render.text import Pages, console, print_json
from porter.verbs.inspect import GraphInspection, Inspection, LogsInspection, draft, inspect_graph, open_graph, shell


def overview(result: Inspection | GraphInspection | LogsInspection, scopes: bool, as_json: bool) -> None:
    """Print the overview of whatever was inspected."""
    if as_json:
        print_json(result.as_dict())
        return
    with Pages() as out:
        show_inspection(out, result, scopes)


def scope(analysis: Analysis, name: str, as_json: bool) -> None:
    """Print one scope's layers."""
    view = scope_view(analysis, name)
    if as_json:
        print_json(view.as_dict())
        return
    with Pages() as out:
        show_scope(out, view)


def find(analysis: Analysis, pattern: str, as_json: bool) -> None:
    """Print the nodes that ``pattern`` finds."""
    found = find_nodes(analysis, pattern)
    if as_json:
        print_json([node.as_dict() for node in found])
        return
    with Pages() as out:
        show_found(out, found, pattern)


def diff(analysis: Analysis, other: Path, as_json: bool) -> None:
    """Print what differs between this graph and the one at ``other``."""
    result = compare_graphs(analysis, open_graph(other, analysis.size))
    if as_json:
        print_json(result.as_dict())
        return
    with Pages() as out:
        show_difference(out, result)


def tensorboard(analysis: Analysis, folder: Path, as_json: bool) -> None:
    """Write an event file into ``folder``, which TensorBoard opens."""
    from porter.formats.tensorflow.events import write_graph_event

    now = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.{int(now):010d}.porter"
    with replacing(path) as temporary:
        write_graph_event(temporary, analysis.source.graph, now)
    _wrote(path, as_json, f"open it with  tensorboard --logdir {shell(str(folder))}")


def html(analysis: Analysis, target: Path, as_json: bool) -> None:
    """Write one HTML page of the graph."""
    from porter.render.html import write_html

    page = write_html(inspect_graph(analysis))
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    _wrote(target, as_json, "open it in a browser; it needs no network")


def svg(analysis: Analysis, target: Path, as_json: bool, name: str | None = None) -> None:
    """Write a picture of one scope, or of the network's blocks."""
    from porter.render.pictures import draw_groups, draw_layers
    from porter.render.svg import write_svg

    if name is None:
        picture = draw_groups(analysis, analysis.groups)
    else:
        view = scope_view(analysis, name)
        picture = draw_layers(Block(view.name, list(view.layers)))
    drawn = write_svg(picture, name or analysis.source.path.name)
    with replacing(target) as temporary:
        temporary.write_text(drawn, encoding="utf-8", errors="replace")
    _wrote(target, as_json, f"{len(picture.boxes)} boxes, {len(picture.wires)} wires")


def mapping(path: Path, target: Path, as_json: bool) -> None:
    """Write a first mapping table for the graph or checkpoint at ``path``."""
    drafted, names = draft(path)
    with replacing(target) as temporary:
        write_draft(temporary, drafted, names)
    rows = f"{drafted.variables:,} variables in {drafted.rows} rows over {drafted.axes} axes"
    _wrote(target, as_json, f"covers {rows}; {len(drafted.unnamed):,} have no kind yet")


def _wrote(path: Path, as_json: bool, remark: str) -> None:
    if as_json:
        print_json({"wrote": str(path), "bytes": path.stat().st_size})
        return
    out = console()
    line(out, f"wrote {path} ({path.stat().st_size:,} bytes)")
    line(out, f"  {remark}")


VIEWS: dict[str, Callable[[Analysis, Any, bool], None]] = {
    "scope": scope,
    "find": find,
    "diff": diff,
    "tensorboard": tensorboard,
    "html": html,
}
