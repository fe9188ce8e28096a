"""The overviews of a graph and of event files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from porter.verbs.inspect_checkpoint import natural, scope_depth
from porter.verbs.inspection import GraphInspection, LogsInspection, Scope
from porter.verbs.recognised import recognised

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis


def inspect_graph(analysis: Analysis, depth: int | None = None) -> GraphInspection:
    """Describe a graph that is read already; ``depth`` is that of its scopes."""
    shapes = {name: variable.shape for name, variable in analysis.variables.items()}
    rows = analysis.scopes(depth or scope_depth(shapes))
    scopes = [Scope(name, *row) for name, row in sorted(rows.items(), key=lambda item: natural(item[0]))]
    known = recognised(shapes, analysis.source.path, _input_size(analysis), analysis)
    return GraphInspection(analysis.source.path, analysis, tuple(scopes), known)


def inspect_logs(path: Path, depth: int | None, size: int | None) -> LogsInspection:
    """Describe an event file or log folder, and the newest graph in it."""
    from porter.formats.tensorflow.events import newest_graph, read_logs
    from porter.graph.analysis.analysis import Analysis

    files = read_logs(path)
    has_graph = any(file.graphs for file in files)
    graph = inspect_graph(Analysis(newest_graph(path), size), depth) if has_graph else None
    return LogsInspection(path, tuple(files), graph)


def _input_size(analysis: Analysis) -> int | None:
    """Return the height and width of the square images that the graph takes."""
    for name in analysis.paths.inputs:
        shape = analysis.shapes.of(name)
        if shape is not None and len(shape) == 4:
            return shape[1] if shape[3] in (1, 3) else shape[2]
    return None
