"""enter: the network of a user's graph, entered where the recorded graph has its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from porter.catalog.goldens import recorded
from porter.graph.functions import build_graph
from porter.graph.rewrite.entry import entered, find_entry, find_stem, steps_before
from porter.graph.rewrite.own_steps import OwnSteps, own_steps
from porter.graph.shape_inference import infer_shapes
from porter.mapping.translate import Translation
from porter.runners.context import Context


def find_endpoints(graph: Any, context: Context, prefix: str) -> dict[str, str]:
    """Return the nodes of ``graph`` that compute the table's endpoints, behind ``prefix``."""
    nodes = {node.name for node in graph.node}
    ops = {endpoint.name: prefix + endpoint.where["tf"] for endpoint in context.table.endpoints if "tf" in endpoint.where}
    return {endpoint: op for endpoint, op in ops.items() if op in nodes}


def enter(
    graph: Any,
    where: Mapping[str, str],
    context: Context,
    prefix: str,
    translation: Translation | None,
    path: Path,
) -> tuple[Any, OwnSteps | None]:
    """Return ``graph`` with a placeholder at the network's entry, and what it does to images before that.

    ``where`` are the nodes of its endpoints. A graph in which no first layer is found stays as it is.
    Raises FormatError as porter.graph.rewrite.entry does.
    """
    kernel = context.table.pairs("tf", "tf")[0].source
    built = build_graph(graph)
    names = {prefix + kernel, kernel}
    if translation is not None:
        names |= {translation.prefix + kernel, translation.taken.get(kernel, kernel)}
    stem = find_stem(built, names, where.values())
    if stem is None:
        return graph, None
    original = build_graph(recorded(context.arch.name).load_graph())
    first = find_stem(original, {kernel}, original.nodes)
    assert first is not None
    entry = find_entry(built, stem, steps_before(original, first), path)
    entry = replace(entry, shape=infer_shapes(built)[entry.tensor])
    return entered(graph, entry)[0], own_steps(graph, entry, path)
