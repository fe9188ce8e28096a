"""Reads a synthetic graph with one verb and prints the CPU seconds that it takes.

    python nodes_cost.py inspect GRAPH.pb NODES
    python nodes_cost.py decompile GRAPH.pb NODES      plans and writes the source, and verifies nothing

A graph that does not exist is made: layers of a convolution, a bias and a ReLU, in blocks of ten layers.
"""

import importlib
import json
import sys
import time
from pathlib import Path

verb, path, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])


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
run = getattr(importlib.import_module(f"porter.verbs.{verb}"), verb)
start = time.process_time()
run(path)
print(json.dumps({"seconds": time.process_time() - start}))
