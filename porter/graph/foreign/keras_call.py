"""Call: a layer of a Keras config where it is called, and the builder that knows the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from porter.graph.foreign.builder import FLOAT, GraphBuilder, Sides, Type
from porter.graph.graph import Graph, Node, parse_ref
from porter.graph.shape_inference import infer_node
from porter.graph.shapes import Shape, Shapes

_NEW = 1000
"""A producer's version from which on a placeholder of shape () is a scalar; see shape_rules.sources."""


class ShapedBuilder(GraphBuilder):
    """Infers the shapes of its nodes as it adds them: a config states no layer's input channels."""

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self._nodes: dict[str, Node] = {}
        self._shapes = Shapes(Graph(self._nodes, _NEW), size)

    def added(self, node: Any) -> None:
        refs = [parse_ref(tensor) for tensor in node.input]
        self._nodes[node.name] = Node(node.name, node.op, refs, [], node)
        infer_node(self._shapes, self._nodes[node.name])

    def record(self, shape: Shape) -> None:
        """Record the shape of the last node's output as TensorFlow does, if it is known."""
        node = self.graph.node[-1]
        if shape is not None:
            Sides(shape).write(node.attr["_output_shapes"].list.shape.add())
            self._shapes.set(self._nodes[node.name], shape)

    def shape(self, tensor: str) -> Shape:
        return self._shapes[parse_ref(tensor)]


_DTYPES = {
    "float16": 19, "float32": FLOAT, "float64": 2, "bfloat16": 14, "uint8": 4, "int32": 3, "int64": 9, "bool": 10,
    "string": 7, "mixed_float16": 19, "mixed_bfloat16": 14,
}  # fmt: skip
"""TensorFlow's numbers of the dtypes in which layers compute."""


def dtype_of(settings: Mapping[str, Any]) -> int:
    """Return TensorFlow's number of a layer's dtype, which Keras 3 states as a policy; by default, float32."""
    dtype = settings.get("dtype")
    policy = dtype.get("config") if isinstance(dtype, Mapping) else None
    name = policy.get("name") if isinstance(policy, Mapping) else dtype
    return _DTYPES.get(name, FLOAT) if isinstance(name, str) else FLOAT


@dataclass(frozen=True)
class Call:
    """A layer where it is called: its path in the model, its class, its settings and the tensors that it reads.

    ``name`` is the path of its first call, and numbered in the others. ``weights`` holds the graph's names of the
    weights of all layers, which several calls share. ``stored`` maps the file's weights to their shapes.
    """

    builder: ShapedBuilder
    path: str
    name: str
    kind: str
    settings: Mapping[str, Any]
    inputs: Sequence[str]
    weights: dict[str, str]
    stored: Mapping[str, tuple[int, ...]]

    @property
    def channels_first(self) -> bool:
        return self.settings.get("data_format") == "channels_first"

    @property
    def format(self) -> str:
        return "NCHW" if self.channels_first else "NHWC"

    @property
    def shape(self) -> Shape:
        """The shape of the first input."""
        return self.builder.shape(self.inputs[0]) if self.inputs else None

    @property
    def channels(self) -> int | None:
        shape = self.shape
        return shape[1 if self.channels_first else -1] if shape and len(shape) > 1 else None

    @property
    def space(self) -> Sequence[int | None]:
        """The height and width of the first input. Raises TypeError if its shape is unknown."""
        if self.shape is None:
            raise TypeError("an input has no known shape")
        return self.shape[2:] if self.channels_first else self.shape[1:-1]

    def sides(self, key: str, rank: int = 2, default: int = 1) -> tuple[int, ...]:
        """Return a setting of one integer, or of one for each axis. Raises TypeError, ValueError for anything else."""
        value = self.settings.get(key) or default
        sides = (value,) * rank if isinstance(value, (int, float)) else tuple(value)
        return tuple(int(side) for side in sides)

    def over_space(self, sides: Sequence[int]) -> list[int]:
        """Return one integer for each axis of a batch of images from those of height and width."""
        return [1, 1, *sides] if self.channels_first else [1, *sides, 1]

    def weight(self, leaves: str | tuple[str, ...], shape: Sequence[int | None]) -> str:
        """Return the graph's name of a weight; of several ``leaves``, the one in the file, by default the first."""
        leaves = (leaves,) if isinstance(leaves, str) else leaves
        names = [f"{self.path}/{leaf}" for leaf in leaves]
        name = next((name for name in names if name in self.stored), names[0])
        if name not in self.weights:
            self.weights[name] = self.builder.variable(name, tuple(shape))
        return self.weights[name]

    def add(self, op: str, inputs: Sequence[str], last: bool = True, **attributes: Any) -> str:
        """Add a node; the ``last`` one of the layer has its name, any other stands in its scope."""
        return self.builder.add(
            self.name if last else f"{self.name}/{op}", op, inputs, T=Type(dtype_of(self.settings)), **attributes
        )

    def constant(self, name: str, values: Any) -> str:
        return self.builder.constant(f"{self.name}/{name}", values)

    def opaque(self, shape: Shape = None, op: str = "") -> str:
        """Add an op without a shape rule, with all weights that the file has for the layer."""
        return self.add_alike(op or self.kind, [*self.inputs, *self.stored_weights()], shape)

    def stored_weights(self) -> list[str]:
        """Return the graph's names of all weights that the file has for the layer."""
        own = [name for name in self.stored if name.startswith(f"{self.path}/")]
        return [self.weight(name.removeprefix(f"{self.path}/"), self.stored[name]) for name in own]

    def add_alike(self, op: str, inputs: Sequence[str], shape: Shape) -> str:
        """Add an op without a shape rule, whose output has this ``shape``."""
        found = self.add(op, inputs)
        self.builder.record(shape)
        return found
