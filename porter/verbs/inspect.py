"""inspect: an overview of a graph, checkpoint or log folder. Returns results and prints nothing."""

from __future__ import annotations

from pathlib import Path
from shlex import quote as shell
from typing import TYPE_CHECKING, Any

from porter.errors import PorterError
from porter.files.progress import Track, untracked
from porter.formats.archives import leave
from porter.formats.identify import NOTHING, identify
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.source import refuse_tag
from porter.graph.foreign.open import has_network, read_source
from porter.verbs.inspect_checkpoint import inspect_checkpoint
from porter.verbs.inspect_graph import inspect_graph, inspect_logs, sized, with_network
from porter.verbs.inspect_weights import WeightsDifference, compare_weights
from porter.verbs.inspection import GraphInspection, Inspection, LogsInspection, Recognised, Scope

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.analysis.difference import Difference
    from porter.mapping.draft_table import Draft

__all__ = [
    "GraphInspection",
    "Inspection",
    "LogsInspection",
    "Recognised",
    "Scope",
    "compare",
    "draft",
    "inspect",
    "inspect_graph",
    "open_graph",
    "shell",
]


def inspect(
    path: str | Path,
    depth: int | None = None,
    *,
    size: int | None = None,
    tag: str | None = None,
    graph: int | None = None,
) -> Inspection | GraphInspection | LogsInspection:
    """Describe the graph, SavedModel, checkpoint, event file or log folder at ``path`` without reading weights.

    ``depth`` is the number of names in a scope; by default it tells a handful of scopes apart. ``size`` is the height
    and width of the images, in pixels, for a graph that leaves them open. ``tag`` chooses among a SavedModel's graphs,
    by all its tags with commas between them: by default one that is not for training. ``graph`` chooses among the
    graphs of event files; 1 was written last. Raises PorterError, FormatError.
    """
    path = Path(path)
    found = identify(path)
    match found.kind.holds:
        case "events":
            refuse_tag(path, tag, found.kind.name)
            return inspect_logs(path, depth, size, graph)
        case "graph" | "archive" if has_network(found):
            return inspect_graph(open_graph(path, size, tag=tag, graph=graph), depth)
        case _:
            checkpoint = open_checkpoint(path)
            _refuse_choices(path, size=None if checkpoint.config else size, tag=tag, graph=graph)
            return with_network(inspect_checkpoint(checkpoint, depth), checkpoint, size)


def open_graph(
    path: str | Path, size: int | None = None, *, tag: str | None = None, graph: int | None = None
) -> Analysis:
    """Return the analysis of the graph at ``path``; see inspect. Raises PorterError, FormatError."""
    from porter.graph.analysis.analysis import Analysis

    path = Path(path)
    found = identify(path)
    if found.kind.holds == "events":
        from porter.formats.tensorflow.events import newest_graph

        refuse_tag(path, tag, found.kind.name)
        source = newest_graph(path, graph)
    elif found.kind is not NOTHING and not has_network(found):
        leave(found)
        raise PorterError(f"{path} holds no graph: for a checkpoint alone, take the overview or `write_table`")
    else:
        source = read_source(path, tag=tag, graph=graph)
    return sized(Analysis(source, size))


def compare(
    path: str | Path,
    other: str | Path,
    *,
    size: int | None = None,
    tag: str | None = None,
    graph: int | None = None,
    track: Track[str] = untracked,
) -> Difference | WeightsDifference:
    """Return how two files differ: two graphs node by node, two files by their weights if either is a checkpoint.

    ``size``, ``tag`` and ``graph`` are those of inspect; the latter two choose the graph in ``path``. Raises
    PorterError, FormatError.
    """
    from porter.graph.analysis.difference import compare_graphs

    files = [Path(path), Path(other)]
    graphs = [identify(file).kind.holds in ("graph", "events", "nothing") for file in files]
    if all(graphs):
        return compare_graphs(open_graph(path, size, tag=tag, graph=graph), open_graph(other, size))
    _refuse_choices(files[graphs.index(False)], size=size, tag=tag, graph=graph)
    first, second = (open_checkpoint(file) for file in files)
    return compare_weights(first, second, track)


def _refuse_choices(path: Path, **given: object) -> None:
    """Raise PorterError for arguments that only graphs have a use for."""
    for name, value in given.items():
        if value is not None:
            raise PorterError(f"{path} is a checkpoint, and `{name}` is for graphs: leave it out")


def draft(path: str | Path, *, tag: str | None = None, graph: int | None = None) -> tuple[Draft, list[str]]:
    """Return a first mapping table for the graph or checkpoint at ``path``, and the variables that it covers."""
    from porter.mapping.draft_table import draft_table

    path = Path(path)
    heads: list[str] = []
    logits = None
    if identify(path).kind.holds in ("graph", "events"):
        analysis = open_graph(path, tag=tag, graph=graph)
        shapes: dict[str, Any] = {analysis.stored_name(n): variable.shape for n, variable in analysis.variables.items()}
        heads, logits = _classifier(analysis)
    else:
        _refuse_choices(path, tag=tag, graph=graph)
        shapes = dict(inspect_checkpoint(open_checkpoint(path), None).shapes)
    if not shapes:
        raise PorterError(f"{path} has no variables to map: name a file that has some")
    return draft_table(shapes, path.name, heads, logits), list(shapes)


def _classifier(analysis: Analysis) -> tuple[list[str], str | None]:
    """Return the variables of the last layer with weights, and the op that computes the logits."""
    nodes = analysis.graph.nodes
    softmax = [name for name in nodes if nodes[name].op == "Softmax" and name in analysis.paths.path]
    last = next((layer for layer in reversed(analysis.layers) if layer.variables), None)
    if last is None:
        return [], next(iter(analysis.paths.outputs), None)
    return list(map(analysis.stored_name, last.variables)), nodes[softmax[-1]].inputs[0].node if softmax else last.end
