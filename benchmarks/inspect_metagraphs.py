"""What `port inspect` says of TensorFlow 1's .meta graphs, next to what TensorFlow says of them.

    pip download --no-deps ai-benchmark==0.1.2    # 22 MB, Apache 2.0; a wheel is a zip file
    python benchmarks/inspect_metagraphs.py ai_benchmark/models

It downloads nothing, and prints the table of docs/guides/inspect.md. Parameters are those of the collection
"variables". Multiply-adds are those of OPS in the whole graph, gradients included, once for each node: half of the
floating-point operations that TensorFlow's profiler counts. Shapes are those of each node's first output. Where a
graph leaves the size of its images open, both sides get the one in SIZES.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from porter.formats.tensorflow.source import read_graph
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.costs import multiply_adds

SIZES = {
    "deeplab": 384, "dped": 256, "inception_v3": 346, "pspnet": 720, "srcnn": 512, "srgan": 256, "unet": 256,
    "vgg19": 256,
}  # fmt: skip
OPS = frozenset({"Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MatMul"})


class Row(NamedTuple):
    """What both sides say of one graph. ``theirs`` is None where TensorFlow does not know each op's shapes."""

    name: str
    nodes: int
    parameters: tuple[int, int]
    ours: int | None
    theirs: int | None
    output: str
    shapes: int
    different: int


def main(folder: Path) -> int:
    """Print the table; return 1 if a number differs."""
    rows = [compare(path) for path in sorted(folder.glob("*.meta"))]
    if not rows:
        print(f"{folder} has no .meta files: unpack the package and name its folder models", file=sys.stderr)
        return 2
    print("| graph | nodes | parameters | multiply-adds, M | output | shapes compared |")
    print("| --- | --: | --: | --: | --- | --: |")
    for row in rows:
        work = "unknown" if row.ours is None else f"{row.ours / 1e6:,.2f}"
        known = work if row.theirs is not None else f"{work} (TensorFlow: unknown)"
        cells = (row.name, f"{row.nodes:,}", f"{row.parameters[0]:,}", known, row.output, f"{row.shapes:,}")
        print(f"| {' | '.join(cells)} |")
    wrong = [row for row in rows if row.parameters[0] != row.parameters[1] or row.different]
    wrong += [row for row in rows if row.theirs is not None and row.ours != row.theirs]
    for row in wrong:
        print(f"DIFFERENT: {row}")
    return bool(wrong)


def compare(path: Path) -> Row:
    """Return what inspect and TensorFlow say of the graph at ``path``."""
    analysis = Analysis(read_graph(path), SIZES.get(path.stem))
    counted = [node for node in analysis.graph.nodes.values() if node.op in OPS]
    products = [multiply_adds(node, analysis.shapes) for node in counted]
    ours = None if None in products else sum(number or 0 for number in products)
    graph = imported(analysis)
    shapes, different = shapes_of(analysis, graph)
    outputs = [analysis.shapes.of(name) for name in analysis.paths.outputs]
    shown = ", ".join("x".join("?" if side is None else str(side) for side in shape or ()) for shape in outputs)
    values = sum(variable.size for variable in analysis.all_variables.values())
    return Row(
        path.stem, len(analysis.graph.nodes), (values, parameters(path)), ours, floats(graph), shown, shapes, different
    )


def imported(analysis: Analysis) -> Any:
    """Return the graph in TensorFlow, with its placeholder's shape as porter assumes it."""
    import tensorflow as tf

    proto = tf.compat.v1.GraphDef.FromString(analysis.source.graph.SerializeToString())
    for node in proto.node:
        node.ClearField("device")
        node.attr.pop("_output_shapes", None)
        shape = analysis.shapes.of(node.name)
        if node.name in analysis.paths.inputs and shape is not None:
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(proto, name="")
    return graph


def parameters(path: Path) -> int:
    """Return the values of the collection "variables"."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.compat.v1.train.import_meta_graph(str(path), clear_devices=True)
        return sum(variable.shape.num_elements() or 0 for variable in graph.get_collection("variables"))


def floats(graph: Any) -> int | None:
    """Return half of the operations that the profiler counts for OPS, None if it lacks the shapes of one of them."""
    from tensorflow.python.framework import (
        ops,
    )  # the profiler's own counts: tensorflow/python/profiler/tfprof_logger.py
    from tensorflow.python.profiler.internal import flops_registry  # noqa: F401 - registers them

    total = 0
    for op in graph.get_operations():
        if op.type in OPS:
            try:
                total += ops.get_stats_for_node_def(graph, op.node_def, "flops").value or 0
            except ValueError:  # a shape that is not fully known
                return None
    return total // 2


def shapes_of(analysis: Analysis, graph: Any) -> tuple[int, int]:
    """Return how many nodes have a shape on both sides, and how many of these differ."""
    compared = different = 0
    for node in analysis.graph.nodes.values():
        operation = graph.get_operation_by_name(node.name)
        ours = analysis.shapes.of(node.name)
        if not operation.outputs or ours is None or operation.outputs[0].shape.rank is None:
            continue
        if operation.outputs[0].dtype.name == "resource" or node.name.startswith("gradients"):
            continue
        theirs = tuple(operation.outputs[0].shape.as_list())
        compared += 1
        same = len(ours) == len(theirs)
        different += not (same and all(None in (a, b) or a == b for a, b in zip(ours, theirs, strict=True)))
    return compared, different


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else __doc__)
