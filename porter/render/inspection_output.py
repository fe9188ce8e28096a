"""What `port inspect` prints: each result as text, through a pager if it is long, or as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from porter.graph.analysis.difference import Difference
from porter.graph.analysis.scope import ScopeView
from porter.graph.analysis.search import Found
from porter.render.checkpoint_text import show_checkpoint
from porter.render.difference_text import show_difference
from porter.render.graph_text import show_graph
from porter.render.inspection_files import Written
from porter.render.logs_text import show_logs
from porter.render.nodes_text import show_nodes
from porter.render.scope_text import show_scope
from porter.render.text import Pages, console, print_json, print_line
from porter.render.weights_text import show_weights
from porter.verbs.inspect import GraphInspection, Inspection, LogsInspection
from porter.verbs.inspect_weights import WeightsDifference

Result = Inspection | GraphInspection | LogsInspection


def print_inspection(result: Result, scopes: bool, as_json: bool) -> None:
    """Print an overview; ``scopes`` adds a graph's variables by scope."""
    if as_json:
        print_json(result.as_dict())
        return
    with Pages() as out:
        show_inspection(out, result, scopes)


def show_inspection(out: Console, result: Result, scopes: bool = False) -> None:
    """Print the overview of a graph, a checkpoint or event files as text."""
    if isinstance(result, LogsInspection):
        show_logs(out, result, scopes)
    elif isinstance(result, GraphInspection):
        show_graph(out, result, scopes)
    else:
        show_checkpoint(out, result, scopes)


def print_scope(view: ScopeView, as_json: bool) -> None:
    """Print one scope's layers."""
    if as_json:
        print_json(view.as_dict())
        return
    with Pages() as out:
        show_scope(out, view)


def print_nodes(found: Sequence[Found], pattern: str, as_json: bool) -> None:
    """Print the nodes that ``pattern`` found."""
    if as_json:
        print_json([node.as_dict() for node in found])
        return
    with Pages() as out:
        show_nodes(out, found, pattern)


def print_difference(result: Difference | WeightsDifference, as_json: bool) -> None:
    """Print how two graphs, or the weights of two files, differ."""
    if as_json:
        print_json(result.as_dict())
        return
    with Pages() as out:
        if isinstance(result, WeightsDifference):
            show_weights(out, result)
        else:
            show_difference(out, result)


def print_written(written: Written, as_json: bool) -> None:
    """Print which file was written."""
    if as_json:
        print_json(written.as_dict())
        return
    out = console()
    print_line(out, f"wrote {written.path} ({written.path.stat().st_size:,} bytes)")
    print_line(out, f"  {written.remark}")
