"""split_paths: separates the inference path from nodes for training, saving and loading.

A node's op, the scopes that TensorFlow's libraries use, and the node's consumers tell its purpose.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from porter.formats.roles import UNTRAINED, VARIABLE, roles
from porter.graph.analysis.control.inference import View
from porter.graph.analysis.ends import find_ends
from porter.graph.graph import VARIABLE_OPS, Graph
from porter.graph.shapes import Shapes
from porter.graph.variables import Variable

INFERENCE = "inference"
GRADIENTS, OPTIMIZER, SAVER = "gradients", "optimizer", "saving and restoring"
INITIAL, SUMMARIES, PIPELINE = "initial values and reads of variables", "summaries", "queues and input pipeline"
LOSSES, CHECKS, OTHER = "losses and metrics", "checks", "not on the way to an output"
TRAINING = "training's side of a condition"
UNREAD = "constants that nothing reads"
SIGNATURES = "of other signatures"

_SAVE_OPS = frozenset(
    "SaveV2 RestoreV2 Save Restore SaveSlices RestoreSlice ShardedFilename MergeV2Checkpoints".split()
)
_ASSIGN_OPS = re.compile(
    r"(Ref)?Assign(Add|Sub)?(VariableOp)?|AssignMovingAvg|VarIsInitializedOp|IsVariableInitialized"
)
_APPLY = re.compile(r"(Resource)?(Sparse)?(Apply|Scatter)[A-Z]\w*")
_PIPELINE = re.compile(r"\w*(Queue|Reader|Dataset|Iterator)\w*|MatchingFiles|ReadFile|WholeFile\w*|Stage|Unstage")
_LOSS = re.compile(r"\w*CrossEntropy\w*|L2Loss|InTopK(V2)?|CTCLoss\w*|SigmoidCrossEntropy\w*")
_GRADIENT_SCOPE = re.compile(r"(.*/)?gradients(_\d+)?/")
_SAVE_SCOPE = re.compile(r"save(_\d+)?/")
_FED = re.compile(
    r"Placeholder(V2|WithDefault)?|\w*Dequeue\w*|IteratorGetNext|Parse(Single)?Example(V2)?|Decode(Jpeg|Png|Image|Bmp)"
)
_ARGUMENT = re.compile(r"_Arg|_DeviceArg")
_SIDE = frozenset({GRADIENTS, OPTIMIZER, SAVER, INITIAL, SUMMARIES, CHECKS, TRAINING})
"""A node whose consumers all have these purposes shares theirs. A loss's input may still be an output."""


@dataclass(frozen=True)
class Paths:
    """``path`` computes ``outputs`` from ``inputs``; ``aside`` maps every other node to its purpose.

    ``view`` is the path in the view of inference, where one node stands for a loop.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    path: frozenset[str]
    aside: dict[str, str]
    stated: bool
    """Whether the file names the outputs, as a SavedModel's signature does."""
    view: frozenset[str]


def split_paths(
    view: View,
    shapes: Shapes,
    variables: Iterable[Variable],
    outputs: Iterable[str] = (),
    train_ops: Iterable[str] = (),
    others: Iterable[str] = (),
) -> Paths:
    """Return the inference path to ``outputs``, the tensors that the file names, or to the outputs that this finds.

    ``others`` are the outputs of other ways to call the file.
    """
    graph = view.graph
    weights = {variable.name for variable in variables}
    purposes = _purposes(view, weights, train_ops)
    resolved = dict.fromkeys(graph.resolve(tensor).node for tensor in outputs)
    stated = [name for name in resolved if view.name(name) in graph.nodes]
    fed = [
        node.name
        for node in graph.nodes.values()
        if (_FED.fullmatch(node.op) and purposes.get(node.name) != SAVER)
        or (_ARGUMENT.fullmatch(node.op) and node.name not in weights)
    ]
    found, metrics = (stated, set()) if stated else find_ends(graph, shapes, purposes, fed, weights)
    purposes = dict.fromkeys(metrics, LOSSES) | purposes
    path = _path(graph, map(view.name, found))
    inputs = [name for name in fed if name in path and not _above(graph, name, path)]
    return Paths(
        tuple(inputs),
        tuple(view.exit(name) for name in found),
        frozenset(member for name in path for member in view.members(name)),
        _aside(view, path, purposes, others),
        bool(stated),
        frozenset(path),
    )


def _aside(view: View, path: Collection[str], purposes: Mapping[str, str], others: Iterable[str]) -> dict[str, str]:
    """Return the purpose of each node of the file that is not on the path."""
    graph = view.graph
    called = graph.needed(view.name(graph.resolve(tensor).node) for tensor in others)
    training = graph.needed(choice.training.node for choice in view.choices.values())
    training |= graph.needed(choice.condition.node for choice in view.choices.values())
    names = [name for name in graph.nodes if name not in path]
    found = {
        name: purposes.get(name, TRAINING if name in training else SIGNATURES if name in called else OTHER)
        for name in names
    }
    return {member: purpose for name, purpose in found.items() for member in view.members(name)}


def _purposes(view: View, weights: set[str], train_ops: Iterable[str]) -> dict[str, str]:
    """Return the purpose of each node that does not belong to inference."""
    graph = view.graph
    found: dict[str, str] = {}
    for node in graph.nodes.values():
        purpose = _purpose(node.op, node.name)
        if purpose:
            found[node.name] = purpose
    trained = {name for name, role in roles(weights).items() if role != VARIABLE and role not in UNTRAINED}
    found |= {name: OPTIMIZER for name in trained if name in graph.nodes}
    found |= {name: OPTIMIZER for name in train_ops if name in graph.nodes}
    for name in graph.reached(name for name, purpose in found.items() if purpose == LOSSES):
        found.setdefault(name, LOSSES)
    training = (choice.training.node for choice in view.choices.values())
    found |= {name: TRAINING for name in training if name not in found and not graph.consumers.get(name, ("",))}
    for name in reversed(graph.order):
        leads = {found.get(other, INFERENCE) for other in graph.consumers[name]}
        if name not in found and leads and leads <= _SIDE:
            found[name] = OPTIMIZER if OPTIMIZER in leads else GRADIENTS if GRADIENTS in leads else min(leads)
        elif name not in found and not leads and graph.nodes[name].op == "Const":
            found[name] = UNREAD
        elif name not in found and not leads and _only_reads(graph, name):
            found[name] = INITIAL
    return found


def _purpose(op: str, name: str) -> str:
    if _SAVE_SCOPE.match(name) or op in _SAVE_OPS:
        return SAVER
    if _GRADIENT_SCOPE.match(name) or op.endswith("Grad") or "BackpropFilter" in op:
        return GRADIENTS
    if _APPLY.fullmatch(op):
        return OPTIMIZER
    if _ASSIGN_OPS.fullmatch(op):
        return INITIAL
    if op.endswith(("Summary", "SummaryV2")):
        return SUMMARIES
    if _PIPELINE.fullmatch(op):
        return PIPELINE
    if _LOSS.fullmatch(op):
        return LOSSES
    return CHECKS if op in ("Assert", "Print", "PrintV2") else ""


def _only_reads(graph: Graph, name: str) -> bool:
    """Tell whether a node only reads a variable, or only waits for other nodes."""
    node = graph.nodes[name]
    reads = node.op in ("ReadVariableOp", "Identity") and node.inputs
    return node.op == "NoOp" or bool(reads and graph.nodes.get(node.inputs[0].node, node).op in VARIABLE_OPS)


def _path(graph: Graph, outputs: Iterable[str]) -> set[str]:
    """Return the nodes that the outputs depend on, up to the tensors that an input pipeline feeds."""
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in found or name not in graph.nodes:
            continue
        found.add(name)
        node = graph.nodes[name]
        if not (_PIPELINE.fullmatch(node.op) and _FED.fullmatch(node.op)):
            waiting.extend(ref.node for ref in node.inputs)
    return found


def _above(graph: Graph, name: str, path: set[str]) -> bool:
    """Tell whether a fed node depends on another one, as a decoded image or a default value does."""
    node = graph.nodes[name]
    if _PIPELINE.fullmatch(node.op) or not node.inputs:
        return False
    above = graph.needed([name]) - {name}
    return any(_FED.fullmatch(graph.nodes[other].op) for other in above if other in path)
