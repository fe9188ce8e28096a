"""Source: a graph and the facts that its file states about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from porter.errors import FormatError
from porter.formats.tensorflow.graphdef import node_of
from porter.formats.tensorflow.objects import path_of
from porter.formats.tensorflow.restored import restored_keys

_INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
"""Collections of ops that run when a SavedModel is loaded: tensorflow/python/saved_model/constants.py."""


@dataclass(frozen=True)
class Signature:
    """One way to call a SavedModel: the tensors of its inputs and outputs, by name."""

    name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Source:
    """A graph as a file holds it. ``wrote`` is the TensorFlow version if the file states it.

    ``variable_names`` maps variables to their paths in a SavedModel's object graph. ``keys`` maps the graph's variables
    to their keys in the checkpoint, where the graph restores them, and ``stored_names`` to the names of the objects
    with these keys: a graph may number its variables. ``init_ops`` lists the nodes that TensorFlow runs when it loads a
    SavedModel, and ``restore_op`` restores its variables. ``notes`` has whole sentences about damage and other contents
    of the file. ``tags`` are those of a SavedModel's graph, and ``others`` names the file's other graphs. ``chosen`` is
    the argument that chose this one, ``tag`` or ``graph``, and its value; None for the graph that porter takes itself.
    ``writer`` is what a file of another format says of the program that wrote it. ``translated`` tells that the file
    has no TensorFlow graph, and porter wrote this one from its layers.
    """

    path: Path
    format: str
    graph: Any = field(repr=False)
    wrote: str = ""
    signatures: tuple[Signature, ...] = ()
    variable_names: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    stored_names: Mapping[str, str] = field(default_factory=dict)
    train_ops: tuple[str, ...] = ()
    init_ops: tuple[str, ...] = ()
    restore_op: str = ""
    notes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    chosen: tuple[str, str] | None = None
    writer: str = ""
    translated: bool = False


def graph_source(path: Path, graph: Any, suffix: str = "") -> Source:
    """Return a bare GraphDef as a Source. Raises FormatError if it has no nodes."""
    if not graph.node:
        raise FormatError(f"{path} has no nodes: it is cut off or not a TensorFlow graph; copy or download it again")
    return Source(path, f"TensorFlow GraphDef{suffix}", graph)


def meta_source(path: Path, meta: Any, kind: str) -> Source:
    """Return a MetaGraphDef's graph with its signatures, names and ops."""
    signatures = tuple(
        Signature(
            name,
            {key: info.name for key, info in sorted(signature.inputs.items())},
            {key: info.name for key, info in sorted(signature.outputs.items())},
        )
        for name, signature in sorted(meta.signature_def.items())
        if signature.outputs and name != _INIT_SIGNATURE
    )
    wrote = meta.meta_info_def.tensorflow_version
    names, train_ops = _object_names(meta), _collected(meta, "train_op")
    tags = tuple(meta.meta_info_def.tags)
    init_ops = tuple(_init_ops(meta))
    keys = restored_keys(meta)
    stored = _stored_names(meta, keys)
    source = Source(path, kind, meta.graph_def, wrote, signatures, names, keys, stored, train_ops, init_ops, tags=tags)
    return replace(source, restore_op=node_of(meta.saver_def.restore_op_name))


def _collected(meta: Any, name: str) -> tuple[str, ...]:
    """Return the nodes of a collection."""
    return tuple(meta.collection_def[name].node_list.value) if name in meta.collection_def else ()


def _init_ops(meta: Any) -> Iterator[str]:
    for name in _INIT_COLLECTIONS:
        yield from map(node_of, _collected(meta, name))
    if _INIT_SIGNATURE in meta.signature_def:
        for info in meta.signature_def[_INIT_SIGNATURE].outputs.values():
            yield node_of(info.name)


def _object_names(meta: Any) -> dict[str, str]:
    """Return each variable's path in the object graph, such as ``_functional/conv1/kernel``.

    If there are several paths, it is a shortest one by names; Keras also lists every variable by number.
    """
    nodes = meta.object_graph_def.nodes
    named = _object_paths(nodes, numbered=False)
    paths = _object_paths(nodes, numbered=True) | named
    return {
        node.variable.name: paths[at]
        for at, node in enumerate(nodes)
        if node.WhichOneof("kind") == "variable" and node.variable.name and at in paths
    }


def _stored_names(meta: Any, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the own name of the object that each key in ``keys`` leads to, through the object graph."""
    nodes = meta.object_graph_def.nodes
    children: dict[int, dict[str, int]] = {}
    found = {}
    for variable, key in keys.items() if nodes else ():
        at = 0
        for part in path_of(key).split("/"):
            if at not in children:
                children[at] = {child.local_name: child.node_id for child in nodes[at].children}
            at = children[at].get(part, len(nodes))
            if not 0 <= at < len(nodes):
                break
        else:
            found[variable] = nodes[at].variable.name or variable
    return found


def _object_paths(nodes: Any, numbered: bool) -> dict[int, str]:
    """Return a shortest path to every object, found breadth first."""
    paths: dict[int, str] = {0: ""} if nodes else {}
    waiting = list(paths)
    for at in waiting:  # the list grows in the loop
        for child in nodes[at].children:
            known = child.node_id in paths or child.node_id >= len(nodes)
            if not known and (numbered or not child.local_name.endswith("variables")):
                paths[child.node_id] = f"{paths[at]}/{child.local_name}".lstrip("/")
                waiting.append(child.node_id)
    return paths
