"""The object graph of a tf.train.Checkpoint: the names and roles of the variables that its keys stand for.

Keys are paths through Python objects, as in ``model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE``; the graph
has each variable's own name. Source: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from porter.errors import FormatError
from porter.formats.roles import COUNTER, METRIC, SLOT
from porter.formats.tensorflow.wire import Buffer, fields, integer, nested, text

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

# The children that give away an optimizer of Keras; those of tf.compat.v1 have slots.
_OPTIMIZERS = ({"_iterations", "_learning_rate"}, {"iter", "learning_rate"}, {"iter", "decay"})
_STEPS = {"_iterations", "iter"}
# Of several paths to a variable, Keras' SavedModels name those through collections, which tell no containers.
_LAYER = "layer_with_weights-"
_COLLECTIONS = {"variables", "trainable_variables", "non_trainable_variables", "layers", "keras_api", "signatures"}

_UNORDERED = "_all_variables/"
"""Keras 3 exports a network's variables once more as a list without a fixed order (keras/src/export/)."""


@dataclass
class _Node:
    children: dict[str, int] = field(default_factory=dict)
    variables: list[tuple[str, str]] = field(default_factory=list)
    """The key and full name of each value."""
    slots: list[int] = field(default_factory=list)

    def is_optimizer(self) -> bool:
        return bool(self.slots) or any(known <= self.children.keys() for known in _OPTIMIZERS)


@dataclass(frozen=True)
class Objects:
    """``names`` maps keys to the variables' own names, in the graph's order; ``roles`` has all keys besides weights.

    ``containers`` maps keys to the paths of the objects that hold the variables' layers, "" for the root.
    """

    names: dict[str, str]
    roles: dict[str, str]
    containers: dict[str, str]


def read_objects(message: Buffer) -> Objects:
    """Read a TrackableObjectGraph: repeated node (1). Raises FormatError if it refers to a missing object."""
    nodes = [_node(nested(value)) for number, value in fields(message) if number == 1]
    names = {key: name for node in nodes for key, name in node.variables}
    return Objects(names, _roles(nodes), _containers(nodes))


def path_of(key: str) -> str:
    """Return a key's path through the objects, the name of a variable without a name of its own."""
    return key.removesuffix(SUFFIX)


def is_unordered(name: str) -> bool:
    """Tell whether a variable's key or name counts it in a list whose order changes from file to file."""
    return name.startswith(_UNORDERED)


def variables_of(keys: list[str], same: Callable[[str, str], bool]) -> list[list[str]]:
    """Return the keys of each variable among those of one name, the key that names it first; copies are the ``same``.

    Where some variables have more copies than others, equal values may be chance, and each key is a variable.
    """
    found: list[list[str]] = []
    for key in keys:
        known = next((group for group in found if same(group[0], key)), None)
        if known is None:
            found.append([key])
        else:
            known.append(key)
    if len({len(group) for group in found}) > 1:
        return [[key] for key in keys]
    return found if len(found) == 1 else [sorted(group, key=is_unordered) for group in found]


def _containers(nodes: list[_Node]) -> dict[str, str]:
    """Return the path of the object that holds each variable's layer: the shortest one, Keras' layers first."""
    places: dict[int, str] = {0: ""} if nodes else {}
    waiting = deque(places)
    while waiting:
        number = waiting.popleft()
        for name, child in sorted(nodes[number].children.items(), key=lambda item: not item[0].startswith(_LAYER)):
            if child not in places and name not in _COLLECTIONS and child < len(nodes):
                places[child] = f"{places[number]}/{name}".lstrip("/")
                waiting.append(child)
    # A variable that only collections refer to has the path of its key.
    paths = {
        key: places.get(number, "") or path_of(key) for number, node in enumerate(nodes) for key, _ in node.variables
    }
    return {key: "/".join(path.split("/")[:-2]) for key, path in paths.items()}


def _node(message: Buffer) -> _Node:
    """Read a TrackableObject: children (1), attributes (2), slot variables (3)."""
    node = _Node()
    for number, value in fields(message):
        if number not in (1, 2, 3):
            continue
        found = dict(fields(nested(value)))
        match number:
            case 1:  # node_id, local_name
                node.children[text(found.get(2, b""))] = integer(found.get(1, 0))
            case 2:  # name, full_name, checkpoint_key
                node.variables.append((text(found.get(3, b"")), text(found.get(2, b""))))
            case 3:  # original_variable_node_id, slot_name, slot_variable_node_id
                node.slots.append(integer(found.get(3, 0)))
    return node


def _roles(nodes: list[_Node]) -> dict[str, str]:
    """Return the role of every value that only optimizers and metrics refer to."""
    if any(number >= len(nodes) for node in nodes for number in (*node.children.values(), *node.slots)):
        raise FormatError("its object graph refers to a missing object")
    weights = _reached(nodes) if nodes else set()
    roles: dict[str, str] = {}
    for number, node in enumerate(nodes):
        for key, _ in node.variables:
            if "keras_api/metrics/" in key:
                roles[key] = METRIC
            elif number not in weights:
                roles[key] = SLOT
    for node in nodes:
        if node.is_optimizer():
            for name in _STEPS & node.children.keys():
                roles |= {key: COUNTER for key, _ in nodes[node.children[name]].variables if key in roles}
    return roles


def _reached(nodes: list[_Node]) -> set[int]:
    """Return the nodes that the root reaches without passing through an optimizer."""
    reached: set[int] = set()
    waiting = [0]
    while waiting:
        number = waiting.pop()
        if number not in reached:
            reached.add(number)
            if number == 0 or not nodes[number].is_optimizer():
                waiting.extend(nodes[number].children.values())
    return reached
