"""The files that `port inspect` writes: a graph's page, diagram or event file, and a first mapping table.

Each is written completely or not at all, as ``files.atomic`` says. All functions raise PorterError if a file cannot
be written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.files.atomic import replacing
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.blocks import Block
from porter.graph.analysis.scope import scope_view
from porter.mapping.draft_table import write_draft
from porter.verbs.inspect import draft, inspect_graph, shell


@dataclass(frozen=True)
class Written:
    """A file that was written; ``remark`` says what it contains or how to open it."""

    path: Path
    remark: str

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {"wrote": str(self.path), "bytes": self.path.stat().st_size}


def write_graph_page(path: Path, analysis: Analysis) -> Written:
    """Write the HTML page of a graph. Raises MissingPackageError if jinja2 is not installed."""
    from porter.render.graph_page import render_graph_page

    _write_text(path, render_graph_page(inspect_graph(analysis)))
    return Written(path, "open it in a browser; it needs no network")


def write_diagram(path: Path, analysis: Analysis, scope: str | None = None) -> Written:
    """Write an SVG diagram of the network's blocks, or of one scope's layers."""
    from porter.render.graph_diagram import diagram_of_groups, diagram_of_layers
    from porter.render.svg import render_svg

    if scope is None:
        diagram = diagram_of_groups(analysis, analysis.groups)
    else:
        view = scope_view(analysis, scope)
        diagram = diagram_of_layers(Block(view.name, list(view.layers)))
    _write_text(path, render_svg(diagram, scope or analysis.source.path.name))
    return Written(path, f"{len(diagram.boxes)} boxes, {len(diagram.wires)} wires")


def write_event_file(folder: Path, analysis: Analysis) -> Written:
    """Write an event file with the graph into ``folder``, which is made if needed, for TensorBoard."""
    from porter.formats.tensorflow.events import write_graph_event

    now = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.{int(now):010d}.porter"
    with replacing(path) as temporary:
        write_graph_event(temporary, analysis.source.graph, now)
    return Written(path, f"open it with  tensorboard --logdir {shell(str(folder))}")


def write_mapping_table(path: Path, source: Path, *, tag: str | None = None, graph: int | None = None) -> Written:
    """Write a first mapping table (TOML) for the variables of the graph or checkpoint at ``source``."""
    drafted, names = draft(source, tag=tag, graph=graph)
    with replacing(path) as temporary:
        write_draft(temporary, drafted, names)
    axes = "1 axis" if drafted.axes == 1 else f"{drafted.axes} axes"
    rows = f"{drafted.variables:,} variables in {drafted.rows} rows over {axes}"
    return Written(path, f"covers {rows}; {len(drafted.unnamed):,} have no kind yet")


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
