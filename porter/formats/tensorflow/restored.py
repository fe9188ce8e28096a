"""restored_keys: the checkpoint's key of each variable, as the ops that restore it say.

Names do not tell: Keras 3 exports ``conv/kernel`` as the variable ``conv/kernel_1``, and a saver may be given other
names. The saver's restore op leads to one Assign or AssignVariableOp for each variable, which reads an output of
RestoreV2. In TensorFlow 2 these ops stand in a function (tensorflow/python/checkpoint/functional_saver.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from porter.formats.tensorflow.graphdef import node_of

_ASSIGNS = ("Assign", "AssignVariableOp")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_PASSES = ("Identity", "Cast")
_DEEPEST = 8
"""Ops between RestoreV2 and an Assign, such as Identity."""


def restored_keys(meta: Any) -> dict[str, str]:
    """Return the keys by the variables' nodes, of the variables that the saver of a MetaGraphDef restores whole."""
    name = node_of(meta.saver_def.restore_op_name)
    nodes = {node.name: node for node in meta.graph_def.node} if name else {}
    restore = nodes.get(name)
    if restore is None:
        return {}
    if restore.op not in _CALLS:
        return dict(_assigned(_needed(nodes, name), nodes, {}))
    wanted = restore.attr["f"].func.name
    function = next((each for each in meta.graph_def.library.function if each.signature.name == wanted), None)
    if function is None:
        return {}
    inputs = [node_of(tensor) for tensor in restore.input if not tensor.startswith("^")]
    arguments = dict(zip((argument.name for argument in function.signature.input_arg), inputs, strict=False))
    body = {node.name: node for node in function.node_def}
    return dict(_assigned(body, body, arguments))


def _needed(nodes: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Return the nodes that ``first`` waits for or reads, in the graph of TensorFlow 1."""
    found: dict[str, Any] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in found and name in nodes:
            found[name] = nodes[name]
            waiting.extend(map(node_of, nodes[name].input))
    return found


def _assigned(
    body: Mapping[str, Any], nodes: Mapping[str, Any], arguments: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the variable and the key of each assignment in ``body`` that reads RestoreV2."""
    for node in body.values():
        if node.op in _ASSIGNS and len(node.input) > 1:
            handle = node_of(node.input[0])
            key = _key(node.input[1], nodes)
            if key:
                yield arguments.get(handle, handle), key


def _key(tensor: str, nodes: Mapping[str, Any]) -> str:
    """Return the key whose value ``tensor`` is, or "" if that is not RestoreV2's whole output."""
    for _ in range(_DEEPEST):
        node = nodes.get(node_of(tensor))
        if node is None or not node.input:
            return ""
        if node.op == "RestoreV2":
            return _listed(node, tensor, nodes)
        if node.op not in _PASSES:
            return ""
        tensor = node.input[0]
    return ""


def _listed(restore: Any, tensor: str, nodes: Mapping[str, Any]) -> str:
    _, *rest = tensor.split(":")  # RestoreV2, RestoreV2:3, or RestoreV2:tensors:3 in a function
    number = int(rest[-1]) if rest and rest[-1].isdigit() else 0
    names, slices = (nodes.get(node_of(source)) for source in (*restore.input, "", "")[1:3])
    if names is None or slices is None:
        return ""
    keys, parts = (node.attr["value"].tensor.string_val for node in (names, slices))
    whole = number < len(keys) and (number >= len(parts) or not parts[number])
    return str(keys[number].decode(errors="replace")) if whole else ""
