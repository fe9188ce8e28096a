"""Inspects a synthetic graph and prints the seconds that it takes.

    python inspect_cost.py GRAPH.pb NODES

A graph that does not exist is made: layers of a convolution, a bias and a ReLU, in blocks of ten layers.
"""

import json
import sys
import time
from pathlib import Path

path, count = Path(sys.argv[1]), int(sys.argv[2])


def make() -> None:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (1, 8, 8, 4), "input")
        layer = 0
        while len(graph.get_operations()) < count:
            with tf.name_scope(f"block_{layer // 10}/layer_{layer % 10}/"):
                kernel = tf.constant(0.1, shape=(3, 3, 4, 4), name="kernel")
                x = tf.nn.conv2d(x, kernel, 1, "SAME", name="conv")
                x = tf.nn.relu(tf.nn.bias_add(x, tf.constant(0.0, shape=(4,), name="bias"), name="add"), name="relu")
            layer += 1
        tf.identity(x, "output")
    path.write_bytes(graph.as_graph_def().SerializeToString())


if not path.exists():
    make()
from porter import inspect

start = time.perf_counter()
inspect(path)
print(json.dumps({"seconds": time.perf_counter() - start}))
