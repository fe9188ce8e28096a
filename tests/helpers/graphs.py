"""Small graphs for tests: built node by node, or read from tests/graphs/ and golden/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers.places import TESTS
from porter.files import package_data
from porter.formats.tensorflow.graph_source import graph_source
from porter.formats.tensorflow.source import read_graph
from porter.graph.analysis.analysis import Analysis
from porter.graph.rewrite.freeze import constant

FOLDER = TESTS / "graphs"
MOBILENETS = {
    name: package_data.folder("golden") / name / "graph.pb.gz"
    for name in ("mobilenet_v1_1.0_224", "mobilenet_v1_0.25_128")
}


def path_of(name: str) -> Path:
    """Return the file of a graph in tests/graphs/ or golden/."""
    return MOBILENETS.get(name) or FOLDER / f"{name}.pb.gz"


def analysis_of(name: str) -> Analysis:
    """Return the analysis of a graph in tests/graphs/ or golden/."""
    return Analysis(read_graph(path_of(name)))


def analysed(graph: Any, size: int | None = None) -> Analysis:
    """Return the analysis of a GraphDef."""
    return Analysis(graph_source(Path("made.pb"), graph), size)


class Maker:
    """Builds a GraphDef; each call adds a node: ``x = make("Relu", "relu", x)`` returns its name."""

    def __init__(self, producer: int = 2474) -> None:
        self.graph = GraphDef()
        self.graph.versions.producer = producer

    def __call__(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        node = self.graph.node.add(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            self._set(node.attr[key], value)
        return name

    def placeholder(self, name: str, *shape: int) -> str:
        self("Placeholder", name, dtype=_Type(1))
        for size in shape:
            self.graph.node[-1].attr["shape"].shape.dim.add(size=size)
        return name

    def weights(self, name: str, *shape: int) -> str:
        self.graph.node.append(constant(name, np.zeros(shape, np.float32)))
        return name

    def scalar(self, name: str, value: float) -> str:
        self.graph.node.append(constant(name, np.array(value, np.float32)))
        return name

    def ints(self, name: str, *values: int, rank: int = 1) -> str:
        node = self.graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = 3
        tensor = node.attr["value"].tensor
        tensor.dtype = 3
        if rank:
            tensor.tensor_shape.dim.add(size=len(values))
        tensor.tensor_content = np.array(values, np.int32).tobytes()
        return name

    def conv(self, name: str, x: str, *kernel: int, stride: int = 1, op: str = "Conv2D", padding: str = "SAME") -> str:
        weights = self.weights(f"{name}/weights", *kernel)
        return self(
            op, f"{name}/Conv2D", x, weights, strides=[1, stride, stride, 1], padding=padding, data_format="NHWC"
        )

    @staticmethod
    def _set(attribute: Any, value: Any) -> None:
        if isinstance(value, _Type):
            attribute.type = value.number
        elif isinstance(value, bool):
            attribute.b = value
        elif isinstance(value, str):
            attribute.s = value.encode()
        elif isinstance(value, int):
            attribute.i = value
        elif isinstance(value, float):
            attribute.f = value
        else:
            attribute.list.i.extend(value)


class _Type:
    def __init__(self, number: int) -> None:
        self.number = number


def renamed(graph: Any, rename: Any) -> Any:
    """Return a copy of a graph in which ``rename`` changes every node's name."""
    other = GraphDef.FromString(graph.SerializeToString())
    for node in other.node:
        node.name = rename(node.name)
        for at, tensor in enumerate(node.input):
            control, name = tensor.startswith("^"), tensor.lstrip("^")
            stem, colon, slot = name.partition(":")
            node.input[at] = f"{'^' if control else ''}{rename(stem)}{colon}{slot}"
    return other
