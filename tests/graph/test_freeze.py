"""Frozen graphs, run by TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.graph.rewrite.freeze import freeze
from porter.graph.rewrite.joined import joined

WEIGHTS = np.float32([[1, 2], [3, 4]])


@pytest.mark.parametrize("forwards", [0, 1, 2])
def test_a_handle_may_reach_its_reads_through_identities(tf: Any, forwards: int) -> None:
    """Inlined functions leave them (tensorflow/tensorflow pull request 53310)."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2, 2], shared_name="w", name="w")
        for _ in range(forwards):
            handle = tf.raw_ops.Identity(input=handle)
        tf.matmul(x, tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32), name="y")
    frozen = freeze(GraphDef.FromString(graph.as_graph_def().SerializeToString()), {"w": WEIGHTS})
    with tf.Graph().as_default() as imported:
        tf.graph_util.import_graph_def(v1.GraphDef.FromString(frozen.SerializeToString()), name="")
        with v1.Session(graph=imported) as session:
            assert session.run("y:0", {"x:0": [[1.0, 1.0]]}).tolist() == [[4.0, 6.0]]


def test_joining_the_inputs_of_a_graph_leaves_its_nodes_as_they_are() -> None:
    """TensorFlow logs each attribute that an op does not have."""
    graph = GraphDef()
    for name in ("a", "b"):
        graph.node.add(name=name, op="Placeholder").attr["dtype"].type = 1
    before = graph.SerializeToString(deterministic=True)
    assert joined(graph, {"a": (2,)}) is graph
    assert len(joined(graph, {"a": (2,), "b": (3,)}).node) > 2
    assert graph.SerializeToString(deterministic=True) == before
