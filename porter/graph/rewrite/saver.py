"""with_saver: a graph as a MetaGraphDef that a Saver of TensorFlow 1 restores.

Sources: tensorflow/python/training/saver.py and saver.proto, variable.proto and meta_graph.proto.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.saver_pb2 import SaverDef
from tensorboard.compat.proto.variable_pb2 import VariableDef

_STRING = 7
"""TensorFlow's number of the dtype (tensorflow/core/framework/types.proto)."""
_PREFIX = "save/Const"
_HOURS = 10_000.0
"""Saver's default: it keeps no checkpoint for its age alone."""


def with_saver(graph: Any, trainable: Collection[str]) -> Any:
    """Return ``graph`` with ops that save and restore its variables, and what tf.train.import_meta_graph reads.

    Its variables are VarHandleOps, and start at zero until they are restored. ``trainable`` has those that are trained.
    """
    handles = [node for node in graph.node if node.op == "VarHandleOp"]
    meta = MetaGraphDef(graph_def=graph)
    meta.graph_def.node.extend(node for handle in handles for node in _initialised(handle))
    meta.graph_def.node.extend(_saving(handles))
    meta.saver_def.CopyFrom(
        SaverDef(
            filename_tensor_name=f"{_PREFIX}:0",
            save_tensor_name="save/control_dependency:0",
            restore_op_name="save/restore_all",
            max_to_keep=5,
            keep_checkpoint_every_n_hours=_HOURS,
            version=SaverDef.V2,
        )
    )
    for handle in handles:
        variable = _variable(handle.name, handle.name in trainable).SerializeToString(deterministic=True)
        for collection in ("variables", "trainable_variables")[: 1 + (handle.name in trainable)]:
            meta.collection_def[collection].bytes_list.value.append(variable)
    return meta


def _variable(name: str, trained: bool) -> Any:
    return VariableDef(
        variable_name=f"{name}:0",
        initializer_name=f"{name}/Assign",
        initial_value_name=f"{name}/Initializer/zeros:0",
        snapshot_name=f"{name}/Read/ReadVariableOp:0",
        is_resource=True,
        trainable=trained,
    )


def _initialised(handle: Any) -> Iterable[Any]:
    """Yield the nodes that a variable has besides its handle: a constant of zeros, its assignment, and a read."""
    name, dtype = handle.name, handle.attr["dtype"].type
    zeros = NodeDef(name=f"{name}/Initializer/zeros", op="Const")
    zeros.attr["dtype"].type = dtype
    zeros.attr["value"].tensor.dtype = dtype
    zeros.attr["value"].tensor.tensor_shape.CopyFrom(handle.attr["shape"].shape)
    zeros.attr["value"].tensor.float_val.append(0)  # one value fills the shape
    yield zeros
    yield _typed(f"{name}/Assign", "AssignVariableOp", [name, zeros.name], dtype)
    yield _typed(f"{name}/Read/ReadVariableOp", "ReadVariableOp", [name], dtype)


def _saving(handles: Sequence[Any]) -> Iterable[Any]:
    """Yield the nodes of a Saver: it feeds the checkpoint's prefix to one of them."""
    names = [handle.name for handle in handles]
    dtypes = [handle.attr["dtype"].type for handle in handles]
    yield _strings("save/filename/input", ["model"], scalar=True)
    for name, given in (("save/filename", "save/filename/input"), (_PREFIX, "save/filename")):
        prefix = _typed(name, "PlaceholderWithDefault", [given], _STRING)
        prefix.attr["shape"].shape.SetInParent()
        yield prefix
    for verb in ("SaveV2", "RestoreV2"):
        yield _strings(f"save/{verb}/tensor_names", names)
        yield _strings(f"save/{verb}/shape_and_slices", [""] * len(names))
    reads = [f"{name}/Read/ReadVariableOp" for name in names]
    yield _of_bundle("SaveV2", reads, dtypes)
    done = NodeDef(name="save/control_dependency", op="Identity", input=[_PREFIX, "^save/SaveV2"])
    done.attr["T"].type = _STRING
    yield done
    yield _of_bundle("RestoreV2", [], dtypes)
    assigned = []
    for number, (name, dtype) in enumerate(zip(names, dtypes, strict=True)):
        assigned.append(f"save/AssignVariableOp_{number}")
        yield _typed(assigned[-1], "AssignVariableOp", [name, f"save/RestoreV2:{number}"], dtype)
    yield NodeDef(name="save/restore_all", op="NoOp", input=[f"^{name}" for name in assigned])


def _of_bundle(op: str, tensors: Sequence[str], dtypes: Sequence[int]) -> Any:
    inputs = [_PREFIX, f"save/{op}/tensor_names", f"save/{op}/shape_and_slices", *tensors]
    node = NodeDef(name=f"save/{op}", op=op, input=inputs)
    node.attr["dtypes"].list.type.extend(dtypes)
    return node


def _typed(name: str, op: str, inputs: Sequence[str], dtype: int) -> Any:
    node = NodeDef(name=name, op=op, input=inputs)
    node.attr["dtype"].type = dtype
    return node


def _strings(name: str, values: Sequence[str], scalar: bool = False) -> Any:
    """Return a Const of strings: a row, or one alone."""
    node = NodeDef(name=name, op="Const")
    node.attr["dtype"].type = _STRING
    tensor = node.attr["value"].tensor
    tensor.dtype = _STRING
    tensor.tensor_shape.SetInParent()
    if not scalar:
        tensor.tensor_shape.dim.add(size=len(values))
    tensor.string_val.extend(value.encode() for value in values)
    return node
