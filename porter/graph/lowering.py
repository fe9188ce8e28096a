"""lower: While and If, which call functions, as the ops of TensorFlow 1 that TensorFlow itself makes of them.

Sources: tensorflow/core/common_runtime/lower_while_op.cc and lower_if_op.cc. A tensor that a loop passes on unchanged
enters it as a constant, which that lowering leaves to a later pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorboard.compat.proto.node_def_pb2 import NodeDef

from porter.graph.graph import Node, Ref

WHILES = frozenset({"While", "StatelessWhile"})
IFS = frozenset({"If", "StatelessIf"})
FUNCTIONS = dict.fromkeys(WHILES, ("cond", "body")) | dict.fromkeys(IFS, ("then_branch", "else_branch"))
"""The attributes that name the functions of each op."""
Inline = Callable[[Any, Sequence[Ref], str], tuple[list[Node], list[Ref]]]
"""Adds a function's nodes and returns them with its outputs. Nodes without inputs wait for the node of this name."""
Add = Callable[[Node], object]
Lowered = tuple[list[list[Node]], list[Ref]]
"""The nodes of each function, and the outputs of the op."""
_FARTHEST = 20


def lower(call: Node, functions: Sequence[Any], inline: Inline, add: Add) -> Lowered:
    """Add what computes ``call``, an op of FUNCTIONS."""
    write = _Writer(call.name, add)
    return (_while if call.op in WHILES else _if)(write, call, functions, inline)


class _Writer:
    """Adds nodes in the scope of a call."""

    def __init__(self, scope: str, add: Add) -> None:
        self.scope, self.add = scope, add

    def __call__(self, op: str, number: int | str, *inputs: Ref, frame: bool = False) -> Ref:
        name = f"{self.scope}/{op}_{number}"
        proto = NodeDef(name=name, op=op)
        if frame:
            proto.attr["frame_name"].s = f"{self.scope}/frame".encode()
        self.add(Node(name, op, list(inputs), [], proto))
        return Ref(name)


def _while(write: _Writer, call: Node, functions: Sequence[Any], inline: Inline) -> Lowered:
    condition, body = functions
    kept = _kept(body)
    enters = [write("Enter", at, ref, frame=True) for at, ref in enumerate(call.inputs)]
    around = [at for at in range(len(enters)) if at not in kept]
    nexts = {at: Ref(f"{write.scope}/NextIteration_{at}") for at in around}
    values = {at: write("Merge", at, enters[at], nexts[at]) for at in around}
    tested, (going, *_) = inline(condition, [values.get(at, ref) for at, ref in enumerate(enters)], "")
    goes_on = write("LoopCond", "0", going)
    switches = {at: write("Switch", at, values[at], goes_on) for at in around}
    reads = [Ref(switches[at].node, 1) if at in switches else ref for at, ref in enumerate(enters)]
    added, results = inline(body, reads, "")
    for at in around:
        write("NextIteration", at, results[at])
    outputs = [write("Exit", at, switches[at]) if at in switches else ref for at, ref in enumerate(call.inputs)]
    return [tested, added], outputs


def _kept(body: Any) -> set[int]:
    """Return the numbers of the inputs that a loop's body returns as they are."""
    names = [argument.name for argument in body.signature.input_arg]
    passing = {node.name: node.input[0] for node in body.node_def if node.op == "Identity" and node.input}
    found = set()
    for at, argument in enumerate(body.signature.output_arg):
        name = body.ret[argument.name]
        for _ in range(_FARTHEST):
            if name.partition(":")[0] not in passing:
                break
            name = passing[name.partition(":")[0]]
        if at < len(names) and name == names[at]:
            found.add(at)
    return found


def _if(write: _Writer, call: Node, functions: Sequence[Any], inline: Inline) -> Lowered:
    condition, *inputs = call.inputs
    pivot = write("Switch", "pivot", condition, condition)
    switches = [write("Switch", at, ref, condition) for at, ref in enumerate(inputs)]
    nodes: list[list[Node]] = []
    sides: list[list[Ref]] = []
    for slot, function in zip((1, 0), functions, strict=True):
        waits = write("Identity", f"pivot_{slot}", Ref(pivot.node, slot)).node
        added, outputs = inline(function, [Ref(switch.node, slot) for switch in switches], waits)
        nodes.append(added)
        sides.append(outputs)
    then, otherwise = sides
    pairs = zip(otherwise, then, strict=False)
    return nodes, [write("Merge", at, *pair) for at, pair in enumerate(pairs)]
