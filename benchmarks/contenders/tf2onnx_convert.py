"""Converts a frozen graph to ONNX with tf2onnx.

python tf2onnx_convert.py GRAPH.pb INPUT OUTPUT MODEL.onnx
"""

import sys
from pathlib import Path

import tensorflow as tf
import tf2onnx

path, given, wanted, out = sys.argv[1:]
graph = tf.compat.v1.GraphDef()
graph.ParseFromString(Path(path).read_bytes())
tf2onnx.convert.from_graph_def(
    graph, input_names=[f"{given}:0"], output_names=[f"{wanted}:0"], opset=17, output_path=out
)
