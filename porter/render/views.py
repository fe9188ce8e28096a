"""What `port inspect` prints or writes for each of its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.graph.analysis import Analysis
from porter.graph.scope import scope_view
from porter.graph.search import find_nodes
from porter.inspect import GraphInspection, Inspection, LogsInspection
from porter.render.overview import show_inspection
from porter.render.parts import show_found, show_scope
from porter.render.terminal import Pages, print_json


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


VIEWS: dict[str, Callable[[Analysis, Any, bool], None]] = {"scope": scope, "find": find}
