"""with_scopes: a chain of like scopes in a graph, such as cells, made longer, shorter or of other members."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.formats.tensorflow.graphdef import node_of


def with_scopes(
    graph: Any, own: Sequence[str], chain: Sequence[tuple[str, str]], outputs: Sequence[str], absent: Collection[str]
) -> Any:
    """Return ``graph`` with the scopes of ``chain`` in place of its ``own``, each a copy of one of those: (new, old).

    Each scope reads the outputs of the two before it. ``outputs`` are the ops of these: one before the first scope,
    then one in each of ``own``. ``absent`` are layers, scopes themselves: the new graph passes the first input of their
    ops through.
    """
    nodes: dict[str, list[Any]] = {scope: [] for scope in own}
    before, after = list[Any](), list[Any]()
    for node in graph.node:
        inside = _scope_of(node.name, own)
        (nodes[inside] if inside else after if any(nodes.values()) else before).append(node)
    made, news = [], [outputs[0]]
    for at, (new, old) in enumerate(chain, start=1):
        place = own.index(old) + 1
        renamed = {outputs[place - back]: news[at - back] for back in (1, 2) if back <= min(place, at)}
        made += [_copied(node, old, new, renamed) for node in nodes[old]]
        news.append(_moved(outputs[place], old, new))
    ending = [_copied(node, "", "", {outputs[-1]: news[-1]}) for node in after]
    return _without(GraphDef(node=[*before, *made, *ending], versions=graph.versions, library=graph.library), absent)


def _scope_of(name: str, scopes: Collection[str]) -> str:
    """Return the one of ``scopes`` that ``name`` is in, empty without one."""
    first = name.partition("/")[0]
    return first if first in scopes else ""


def _copied(node: Any, old: str, new: str, renamed: Mapping[str, str]) -> Any:
    """Return ``node`` of the scope ``old`` in the scope ``new``; other inputs are ``renamed``."""
    copy = type(node).FromString(node.SerializeToString())
    copy.name = _moved(node.name, old, new)
    copy.input[:] = [_input(each, old, new, renamed) for each in node.input]
    for key in {"shared_name", "debug_name"} & set(copy.attr):
        copy.attr[key].s = _moved(node.attr[key].s.decode(), old, new).encode()
    if "_class" in copy.attr:
        places = (each.decode().removeprefix("loc:@") for each in node.attr["_class"].list.s)
        copy.attr["_class"].list.s[:] = [f"loc:@{_moved(place, old, new)}".encode() for place in places]
    return copy


def _moved(name: str, old: str, new: str) -> str:
    return new + name[len(old) :] if old and name.startswith(f"{old}/") else name


def _input(tensor: str, old: str, new: str, renamed: Mapping[str, str]) -> str:
    name = node_of(tensor)
    before, _, after = tensor.partition(name)
    return before + renamed.get(name, _moved(name, old, new)) + after


def _without(graph: Any, layers: Collection[str]) -> Any:
    """Return ``graph`` with the ops of these ``layers`` passed over."""
    passed = {}
    for node in graph.node:
        layer, _, op = node.name.rpartition("/")
        if layer in layers and op == node.op:
            passed[node.name] = node.input[0]
    for node in graph.node:
        for at, tensor in enumerate(node.input):
            while node_of(tensor) in passed:
                tensor = passed[node_of(tensor)]
            node.input[at] = tensor
    return graph
