"""written_table: the mapping table of a network that porter has written, with a column for each of its two sides."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from porter.formats.tensorflow.objects import is_unordered
from porter.graph.codegen.network import Network, Placed

_ORDERS = {
    (3, 2, 0, 1): "filter",
    (4, 3, 0, 1, 2): "volume filter",
    (1, 0): "matrix",
    (2, 1, 0): "sequence filter",
}
"""The kinds of tensors whose axes change, by the order in which the module has the original's."""
_STRAIGHT = ("scalar", "vector")
_BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def written_table(network: Network, variables: Mapping[str, str], source: str) -> tuple[str, list[str]]:
    """Return the table of ``network`` as TOML, and the variables that it lacks: no kind of layer fits
    them, or their names are those of one file.

    ``variables`` are the tensors that a checkpoint has, with their names there; the graph's constants are not among
    them. ``source`` says where the network is from.
    """
    rows, unfit = [], []
    stored = (
        replace(each, weight=replace(each.weight, name=variables[each.weight.name]))
        for each in network.weights
        if each.weight.name in variables
    )
    waiting = list(stored)
    while waiting:
        norm = _batch_norm(waiting[0], waiting)
        if norm:
            scope, path = (text.rpartition(mark)[0] for text, mark in ((norm[0].weight.name, "/"), (norm[0].path, ".")))
            lacks = [role for leaf, role in _ROLES.items() if leaf not in {_leaf(placed) for placed in norm}]
            rows.append(_row("batch_norm", scope, path, lacks))
            waiting = [placed for placed in waiting if placed not in norm]
            continue
        placed = waiting.pop(0)
        kind = None if is_unordered(placed.weight.name) else _kind(placed)
        if kind is None:
            unfit.append(placed.weight.name)
        else:
            rows.append(_row(kind, placed.weight.name, placed.path, ()))
    return "\n".join([*_head(source), *rows, "]", *_endpoints(network)]) + "\n", unfit


_ROLES = {"gamma": "gamma", "beta": "beta", "moving_mean": "mean", "moving_variance": "variance"}


def _leaf(placed: Placed) -> str:
    return placed.weight.name.rpartition("/")[2]


def _batch_norm(first: Placed, waiting: Sequence[Placed]) -> list[Placed]:
    """Return the tensors of the batch norm that ``first`` belongs to, if they have the names of one."""
    scope, path = first.weight.name.rpartition("/")[0], first.path.rpartition(".")[0]
    found = [placed for placed in waiting if placed.path.rpartition(".")[0] == path]
    named = all(placed.weight.name == f"{scope}/{_BATCH_NORM.get(placed.weight.attribute)}" for placed in found)
    whole = {placed.weight.attribute for placed in found} >= {"running_mean", "running_var"}
    return found if scope and named and whole else []


def _kind(placed: Placed) -> str | None:
    order, shape = placed.weight.order, placed.weight.shape
    if shape is not None and math.prod(shape) == max(shape, default=1):
        return _STRAIGHT[min(1, len(shape))]  # along one axis, wherever it is
    if order == (2, 3, 0, 1):
        return "depthwise filter"
    if order and tuple(order) != tuple(range(len(order))):
        return _ORDERS.get(tuple(order))
    return None


def _row(kind: str, ours: str, theirs: str, lacks: Sequence[str]) -> str:
    lacking = f", lacks = {{ tf = [{', '.join(map(_quoted, lacks))}] }}" if lacks else ""
    return f"    {{ kind = {_quoted(kind)}, tf = {_template(ours)}, torch = {_template(theirs)}{lacking} }},"


def _head(source: str) -> list[str]:
    return [
        "# The graph's tensors (tf) and the module's (torch). porter wrote it with model.py.",
        f"source = {_quoted(source)}",
        'dialects = ["tf", "torch"]',
        'ignore = { torch = ["*.num_batches_tracked"] }',
        "layer = [",
    ]


def _endpoints(network: Network) -> Iterator[str]:
    """Yield the endpoints: the output of each block, and last that of the network."""
    yield "endpoint = ["
    for output in network.blocks:
        name = _template(output.tensor)
        yield f"    {{ name = {name}, tf = {name}, torch = {_template(output.path)} }},"
    logits, *_ = network.ends
    yield f"    {{ name = {_template(logits)}, tf = {_template(logits)}, logits = true }},"
    yield "]"


def _template(text: str) -> str:
    return _quoted(text.replace("{", "{{").replace("}", "}}"))


def _quoted(text: str) -> str:
    """Return a TOML string: JSON's, except for the delete character."""
    return json.dumps(text).replace("\x7f", "\\u007f")
