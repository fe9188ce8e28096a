"""Prepares a graph for the contest of docs/decompile.md: a checkpoint, a frozen graph, an image, TensorFlow's output.

    python decompile_inputs.py FOLDER SIZE MODEL|GRAPH [GAIN]

A MODEL's graph and weights are those of its golden. A GRAPH that is not frozen gets name-seeded weights, its kernels
times GAIN. SIZE is the height and width of the image where the graph leaves them open, else 0. FOLDER gets frozen.pb
for one image of this very shape, image.npy, and TensorFlow's float64 output as double.npy.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from porter.catalog.goldens import recorded
from porter.catalog.seeded_weights import seeded
from porter.formats.input_digests import Inputs
from porter.formats.tensorflow.bundle_writer import data_file, in_order, index_file, stored, write_bundle
from porter.graph.rewrite.freeze import freeze, variables
from porter.graph.rewrite.inline import inlined
from porter.graph.rewrite.prune import prune
from porter.runners.decompiled import graph_runner
from porter.runners.images import read_image, sample_paths
from porter.runners.presets import resize_bilinear
from porter.verbs.decompile import written_network
from porter.verbs.graph_values import graph_values
from porter.verbs.inspect import open_graph
from porter.verbs.seed import seed

folder, size, given, *gain = Path(sys.argv[1]), int(sys.argv[2]) or None, *sys.argv[3:]
graph, prefix = folder / "graph.pb", folder / "seeded.ckpt"
if Path(given).exists():
    graph = Path(shutil.copyfile(given, folder / f"graph{Path(given).suffix}"))
else:
    graph.write_bytes(recorded(given).load_graph().SerializeToString())
    seed(given, prefix)
analysis = open_graph(graph, size)
shapes = {name: each.shape for name, each in analysis.variables.items()}
if not analysis.frozen and not index_file(prefix).exists():
    gains = {name: float(gain[0]) if gain and len(shape) > 1 else 1.0 for name, shape in shapes.items()}
    weights = (stored(name, seeded(name, shapes[name]) * np.float32(gains[name])) for name in in_order(shapes))
    write_bundle(data_file(prefix), index_file(prefix), weights)
program, network = written_network(analysis, given)
assert network is not None, program.problems
(port,), end = program.inputs, program.outputs[-1]
checkpoint = None if analysis.frozen else prefix
values = graph_values(analysis, network, checkpoint, "raw", Inputs(()))
height, width, channels = (side or size for side in port.shape[1:])
image = resize_bilinear(read_image(sample_paths()[0]).astype(np.float32) / 127.5 - 1, height, width)[
    None, ..., :channels
]
pruned = prune(inlined(analysis.source.graph), analysis.paths.outputs, graph)
frozen = freeze(pruned, {name: values.load(name) for name in variables(pruned)})
entry = next(node for node in frozen.node if node.name == port.tensor)
entry.op = "Placeholder"  # which may have had a default
del entry.input[:]
entry.attr["shape"].shape.ClearField("unknown_rank")
del entry.attr["shape"].shape.dim[:]
for side in image.shape:
    entry.attr["shape"].shape.dim.add(size=side)
for node in frozen.node:
    node.attr.pop("_output_shapes", None)
    if node.op == "PlaceholderWithDefault":  # as tf2onnx's --use_default has it
        node.op, node.attr["T"].type = "Identity", node.attr["dtype"].type
        del node.attr["dtype"], node.attr["shape"]
(folder / "frozen.pb").write_bytes(frozen.SerializeToString())
run = graph_runner(frozen, [end.source], graph)
np.save(folder / "image.npy", image.astype(np.float32))
np.save(folder / "double.npy", run(image.astype(np.float32).astype(np.float64))[end.source])
facts = {
    "graph": str(graph),
    "checkpoint": str(checkpoint) if checkpoint else None,
    "ends": [port.tensor, end.source],
    "shape": image.shape[1:],
    "megabytes": sum(values.load(placed.weight.name).nbytes for placed in network.weights) / 2**20,
}
print(json.dumps(facts))
