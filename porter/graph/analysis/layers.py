"""fold_layers: a graph's ops as the layers that a person would draw.

A layer is a convolution with its padding, bias, batch norm (fused or in its five pieces) and activation; a
separable convolution; a pool; an add, a concat; or any other op by itself.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field

import numpy as np

from porter.graph.analysis.costs import multiply_adds
from porter.graph.analysis.paths import Paths
from porter.graph.graph import Graph, Node
from porter.graph.shapes import Shape, Shapes, channels_first
from porter.graph.variables import Variable

CONVOLUTIONS = frozenset({"conv", "depthwise", "separable", "dense", "transposed conv"})
POOLS = {"AvgPool": "avg pool", "MaxPool": "max pool", "AvgPool3D": "avg pool", "MaxPool3D": "max pool"}
_MAIN = {
    "Conv2D": "conv", "Conv3D": "conv", "DepthwiseConv2dNative": "depthwise", "MatMul": "dense",
    "Conv2DBackpropInput": "transposed conv",
}  # fmt: skip
_PASSING = frozenset(
    "Identity StopGradient Snapshot PreventGradient CheckNumerics Enter Exit RefIdentity PlaceholderWithDefault "
    "_Retval".split()
)
_ACTIVATIONS = {
    "Relu": "relu", "Relu6": "relu6", "Elu": "elu", "Selu": "selu", "LeakyRelu": "leaky relu", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "Softplus": "softplus", "Softsign": "softsign",
}  # fmt: skip
_NORMS = re.compile(r"FusedBatchNorm(V2|V3)?|BatchNormWithGlobalNormalization")
_SHAPING = frozenset({"Shape", "ShapeN", "Size", "Rank"})
_OTHER = {
    "ConcatV2": "concat", "Concat": "concat", "Add": "add", "AddV2": "add", "AddN": "add", "Mul": "multiply",
    "Sub": "subtract", "RealDiv": "divide", "Softmax": "softmax", "Squeeze": "squeeze", "Reshape": "reshape",
    "Pad": "pad", "PadV2": "pad", "MirrorPad": "mirror pad", "StridedSlice": "slice", "Slice": "slice",
    "Transpose": "transpose", "ResizeBilinear": "resize bilinear", "ResizeNearestNeighbor": "resize nearest",
    "LRN": "local response norm", "Split": "split", "SplitV": "split", "Cast": "cast", "ExpandDims": "expand dims",
}  # fmt: skip
_OP_LEAF = re.compile(
    r"(Conv2D|convolution|depthwise|separable_conv2d|AvgPool|MaxPool|BiasAdd|MatMul|FusedBatchNorm(V\d)?|Relu6?|add|concat|"
    r"batchnorm|Wx_plus_b|Conv2D_bn_offset|act_quant|xw_plus_b)(_\d+)?"
)


@dataclass(eq=False)
class Layer:
    """One folded layer. ``inputs`` are layers, or names of the graph's inputs.

    Sizes are (height, width); shapes are those of TensorFlow, for a batch of one. ``before`` is an activation
    in front of the layer, ``padding`` what TensorFlow calls it, or the explicit pads.
    """

    name: str
    kind: str
    nodes: list[str]
    inputs: list[Layer | str] = field(default_factory=list, repr=False)  # or a layer's text would be the network's
    shape: Shape = None
    kernel: tuple[int | None, ...] = ()
    strides: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: str = ""
    before: str = ""
    norm: bool = False
    bias: bool = False
    activation: str = ""
    in_channels: int | None = None
    channels: int | None = None
    epsilon: float | None = None
    detail: str = ""
    variables: list[str] = field(default_factory=list)
    parameters: int = 0
    multiply_adds: int | None = 0
    end: str = ""

    @property
    def label(self) -> str:
        """Return what the layer is, without channels and sizes: what repeats is equal in this."""
        if self.kind == "activation":
            return self.activation
        parts = [self.before and f"{self.before} >", self.kind, size_text(self.kernel)]
        if self.kind in CONVOLUTIONS:
            parts += ["bn" if self.norm else "", "bias" if self.bias else ""]
        return " ".join(part for part in (*parts, self.activation) if part)


def size_text(size: tuple[int | None, ...]) -> str:
    """Return sizes as ``3x3``; unknown ones are ?."""
    return "x".join("?" if side is None else str(side) for side in size)


def fold_layers(graph: Graph, shapes: Shapes, paths: Paths, variables: dict[str, Variable]) -> list[Layer]:
    """Return the inference path's layers in the order of the graph."""
    return _Folder(graph, shapes, paths, variables).layers()


class _Folder:
    def __init__(self, graph: Graph, shapes: Shapes, paths: Paths, variables: dict[str, Variable]) -> None:
        self.graph, self.shapes, self.paths, self.variables = graph, shapes, paths, variables
        fed = graph.reached(paths.inputs) & paths.path
        if not fed:  # nothing is fed: all but constants and variables is data
            fed = {name for name in paths.path if graph.nodes[name].op not in ("Const", "VarHandleOp", "VariableV2")}
        self.data = fed
        self.shaping = self._shape_nodes()
        self.owner: dict[str, Layer | str] = {}
        self.used: set[str] = set()
        self.count = {
            name: sum(other in self.data and other not in self.shaping for other in graph.consumers[name])
            for name in self.data
        }
        self.swishes = self._find_swishes()
        self.found: list[Layer] = []

    def layers(self) -> list[Layer]:
        inside = {name for parts, _ in self.swishes.values() for name in parts}
        for name in self._order():
            node = self.graph.nodes[name]
            if name in self.paths.inputs:
                self.owner[name] = name
            elif name in self.shaping or name in inside:
                continue
            else:
                self._take(node)
        self._fold_in_front()
        for layer in self.found:
            self._weigh(layer)
        self._name()
        return self.found

    def _order(self) -> list[str]:
        """Return the data path's nodes in the file's order where this is one that could run, else depth first."""
        listed = [name for name in self.graph.nodes if name in self.data]
        place = {name: at for at, name in enumerate(listed)}
        if all(place.get(ref.node, -1) < place[n] for n in listed for ref in self.graph.nodes[n].inputs):
            return listed
        ordered: dict[str, None] = {}
        for output in self.paths.outputs:
            waiting = [(output, iter(self.graph.nodes[output].inputs))]
            open_ = {output}
            while waiting:
                name, inputs = waiting[-1]
                for ref in inputs:
                    if ref.node in self.data and ref.node not in ordered and ref.node not in open_:
                        open_.add(ref.node)
                        waiting.append((ref.node, iter(self.graph.nodes[ref.node].inputs)))
                        break
                else:
                    waiting.pop()
                    if name in self.data:
                        ordered.setdefault(name)
        return list(ordered)

    def _shape_nodes(self) -> set[str]:
        """Return the nodes that only compute shapes of the data, for Reshape and the like."""
        found: set[str] = set()
        for name in self.graph.order:
            if name in self.data:
                node = self.graph.nodes[name]
                inputs = [ref.node for ref in node.inputs if ref.node in self.data]
                if node.op in _SHAPING or (inputs and all(ref in found for ref in inputs) and node.op != "Fill"):
                    found.add(name)
        return found - set(self.paths.outputs)

    # ---- one node at a time
    def _sources(self, node: Node) -> list[str]:
        return [ref.node for ref in node.inputs if ref.node in self.data and ref.node not in self.shaping]

    def _take(self, node: Node) -> None:
        sources = self._sources(node)
        before = self.owner.get(sources[0]) if len(sources) == 1 else None
        if node.op in _PASSING and len(sources) == 1 and before is not None and node.name not in self.paths.inputs:
            self.owner[node.name] = before
            if isinstance(before, Layer):
                before.nodes.append(node.name)
                if before.end == sources[0]:
                    before.end = node.name
            return
        if node.name in self.swishes:
            self._swish(node)
            return
        # Only what nothing else reads may be folded on.
        if isinstance(before, Layer) and before.end == sources[0] and self.count[sources[0]] == 1:  # noqa: SIM102
            if self._fold(before, node):
                before.nodes.append(node.name)
                before.end = node.name
                before.shape = self.shapes.of(node.name) or before.shape
                self.owner[node.name] = before
                return
        self._open(node, sources)

    def _fold(self, layer: Layer, node: Node) -> bool:
        """Fold ``node`` onto the end of ``layer``, where it belongs to it."""
        convolves = layer.kind in CONVOLUTIONS
        done = layer.activation != ""
        if node.op in _ACTIVATIONS and not done and layer.kind not in ("reshape", "squeeze", "softmax"):
            if not convolves and self._belongs_to_next(layer, node):
                return False
            layer.activation = _ACTIVATIONS[node.op]
            return True
        if not convolves or done:
            return False
        if _NORMS.fullmatch(node.op) and not layer.norm:
            layer.norm = True
            layer.epsilon = _epsilon(node)
            return True
        vector = self._vector(node)
        if node.op == "BiasAdd" or (node.op in ("Add", "AddV2") and vector and not layer.detail):
            if layer.norm or layer.bias:
                return False
            layer.bias = True
            return True
        if node.op == "Mul" and vector and not layer.norm and self._next_adds(node):
            layer.detail = "scaled"  # the first of a batch norm's two pieces on the data
            layer.epsilon = self._unfused_epsilon(node)
            return True
        if node.op in ("Add", "AddV2", "Sub") and vector and layer.detail == "scaled":
            layer.detail, layer.norm = "", True
            return True
        if node.op == "BatchToSpaceND" and not layer.norm and not layer.bias:
            source = layer.inputs[0] if len(layer.inputs) == 1 else None
            return isinstance(source, Layer) and source.kind == "SpaceToBatchND"
        return False

    def _belongs_to_next(self, layer: Layer, node: Node) -> bool:
        """Tell whether an activation stands in the scope of the one layer that reads it, not in its input's."""
        following = [name for name in self.graph.consumers[node.name] if name in self.data]
        own = _common(node.name, layer.name)
        if layer.kind == "concat" and not own:  # without a scope to tell, a concat is an end
            return True
        return len(following) == 1 and _common(node.name, following[0]) > own

    def _vector(self, node: Node) -> bool:
        """Tell whether a node's other operand is a weight along the channels, not a scalar."""
        others = [ref for ref in node.inputs if ref.node not in self.data]
        return len(others) == 1 and len([size for size in self.shapes[others[0]] or () if size != 1]) == 1

    def _next_adds(self, node: Node) -> bool:
        following = [self.graph.nodes[name] for name in self.graph.consumers[node.name] if name in self.data]
        return len(following) == 1 and following[0].op in ("Add", "AddV2", "Sub") and self._vector(following[0])

    def _unfused_epsilon(self, node: Node) -> float | None:
        """Return the scalar that is added to the variance before its Rsqrt."""
        weights = [ref.node for ref in node.inputs if ref.node not in self.data]
        for name in self.graph.needed(weights):
            above = self.graph.nodes[name]
            if above.op == "Rsqrt" and above.inputs and above.inputs[0].node in self.graph.nodes:
                adds = self.graph.nodes[above.inputs[0].node]
                for ref in adds.inputs:
                    if ref in self.shapes.values and self.shapes.values[ref].size == 1:
                        return float(self.shapes.values[ref].item())
        return None

    def _open(self, node: Node, sources: list[str]) -> Layer:
        """Begin a layer with ``node``."""
        kind = _MAIN.get(node.op) or POOLS.get(node.op) or _OTHER.get(node.op) or _ACTIVATIONS.get(node.op)
        layer = Layer(node.name, kind or node.op, [node.name], end=node.name, shape=self.shapes.of(node.name))
        layer.inputs = [self.owner[name] for name in sources if name in self.owner]
        if node.op in _ACTIVATIONS:
            layer.kind, layer.activation = "activation", _ACTIVATIONS[node.op]
        elif _NORMS.fullmatch(node.op):
            layer.kind, layer.norm, layer.epsilon = "batch norm", True, _epsilon(node)
        elif node.op in _MAIN or node.op in POOLS:
            self._window(layer, node)
        elif node.op == "Mean":
            axes = self._second_value(node)
            spatial = axes is not None and sorted(axes.reshape(-1).tolist()) in ([1, 2], [2, 3])
            layer.kind = "global avg pool" if spatial else "mean"
        elif node.op in ("Mul", "Add", "AddV2", "Sub", "RealDiv") and len(sources) == 1:
            other = next((ref for ref in node.inputs if ref.node not in self.data), None)
            value = self.shapes.values.get(other) if other is not None else None
            if value is not None and value.size == 1:
                layer.detail = f"{value.item():.6g}"
            elif node.inputs[0] == node.inputs[-1]:
                layer.detail = "by itself"
        elif node.op in ("Pad", "PadV2", "MirrorPad"):
            pads = self._second_value(node)
            if pads is not None and pads.size % 2 == 0:
                layer.detail = ", ".join(f"{a}+{b}" for a, b in pads.reshape(-1, 2)[1:3].tolist())
        elif node.op == "SpaceToBatchND":
            sizes = self._second_value(node)
            layer.dilation = tuple(int(n) for n in sizes.reshape(-1)) if sizes is not None else layer.dilation
        self.owner[node.name] = layer
        self.found.append(layer)
        if layer.shape:
            layer.channels = layer.channels or layer.shape[-1]
        return layer

    def _second_value(self, node: Node) -> np.ndarray | None:
        """Return what is known of a node's second input; a damaged graph may have none."""
        return self.shapes.values.get(node.inputs[1]) if len(node.inputs) > 1 else None

    def _window(self, layer: Layer, node: Node) -> None:
        """Fill in what a convolution or pool says of itself."""
        place = 2 if node.op == "Conv2DBackpropInput" else 0
        # A damaged graph may have ops that lack inputs.
        first = self.shapes.shapes.get(node.inputs[place]) if len(node.inputs) > place else None
        weights = self.shapes.shapes.get(node.inputs[1]) if len(node.inputs) > 1 else None
        rank = len(layer.shape or first or (0,) * 4)
        at = 1 if channels_first(node) else rank - 1
        space = slice(2, rank) if at == 1 else slice(1, rank - 1)
        layer.padding = node.text("padding")
        if node.op == "MatMul":
            layer.padding = ""
        layer.strides = node.ints("strides")[space]
        dilations = node.ints("dilations")[space]
        layer.dilation = dilations if any(side != 1 for side in dilations) else ()
        if node.op in POOLS:
            layer.kernel = node.ints("ksize")[space]
        elif node.op != "MatMul":
            layer.kernel = tuple(weights[: rank - 2]) if weights else ()
        layer.in_channels = first[at] if first and len(first) > at else None
        layer.channels = layer.shape[at] if layer.shape else None
        if layer.padding == "EXPLICIT":
            pads = [*node.ints("explicit_paddings"), *[0] * 2 * rank]
            layer.padding = "explicit " + ", ".join(f"{pads[2 * i]}+{pads[2 * i + 1]}" for i in range(rank)[space])
        depth = weights[2] if node.op == "Conv2D" and weights and len(weights) == 4 else None
        if depth and layer.in_channels and layer.in_channels != depth:
            layer.detail = f"{layer.in_channels // depth} groups"

    # ---- several nodes at a time
    def _find_swishes(self) -> dict[str, tuple[list[str], tuple[str, str]]]:
        """Return the products x * gate(x) of swish and hard swish: their inner nodes, (x, name)."""
        found = {}
        for name in self.data:
            node = self.graph.nodes[name]
            if node.op != "Mul" or len(node.inputs) != 2:
                continue
            for x, gate in (node.inputs, node.inputs[::-1]):
                inner: list[str] = []
                ops: list[str] = []
                at = gate.node
                while at in self.data and at != x.node and len(inner) < 6 and self.count.get(at) == 1:
                    sources = self._sources(self.graph.nodes[at])
                    if len(sources) != 1:
                        break
                    inner.append(at)
                    ops.append(self.graph.nodes[at].op)
                    at = sources[0]
                # Only elementwise steps by scalars, or it is another gate, such as squeeze and excitation.
                elementwise = set(ops) <= {"Mul", "Add", "AddV2", "Relu6", "Sigmoid", "RealDiv", "Identity"}
                if at == x.node and inner and elementwise and ("Relu6" in ops or ops == ["Sigmoid"]):
                    found[name] = (inner, (x.node, "hard swish" if "Relu6" in ops else "swish"))
                    # To whoever asks, x is read by the product alone.
                    self.count[x.node] -= 1
                    break
        return found

    def _swish(self, node: Node) -> None:
        inner, (x, name) = self.swishes[node.name]
        before = self.owner.get(x)
        if isinstance(before, Layer) and before.end == x and self.count[x] == 1 and not before.activation:
            layer = before
        else:
            layer = Layer(node.name, "activation", [], [before] if before is not None else [])
            self.found.append(layer)
        layer.nodes += [*reversed(inner), node.name]
        layer.activation, layer.end = name, node.name
        layer.shape = self.shapes.of(node.name)
        for part in (*inner, node.name):
            self.owner[part] = layer

    def _fold_in_front(self) -> None:
        """Fold a layer into the only one that reads it: activation and pad in front, depthwise before a 1x1."""
        readers: dict[int, list[Layer]] = {}
        for layer in self.found:
            for source in layer.inputs:
                if isinstance(source, Layer):
                    readers.setdefault(id(source), []).append(layer)
        outputs = set(self.paths.outputs)
        gone: set[int] = set()
        for layer in self.found:
            following = readers.get(id(layer), [])
            if len(following) != 1 or outputs & set(layer.nodes):
                continue
            into = following[0]
            if self._into(layer, into):
                into.nodes = layer.nodes + into.nodes
                into.inputs = [
                    part for source in into.inputs for part in (layer.inputs if source is layer else [source])
                ]
                for source in layer.inputs:
                    if isinstance(source, Layer):
                        readers[id(source)] = [into if other is layer else other for other in readers[id(source)]]
                gone.add(id(layer))
        self.found = [layer for layer in self.found if id(layer) not in gone]

    def _into(self, layer: Layer, into: Layer) -> bool:
        if layer.kind == "activation" and into.kind in CONVOLUTIONS and not into.before and into.inputs == [layer]:
            into.before = layer.activation
            return True
        if layer.kind == "pad" and into.padding == "VALID" and layer.detail:
            into.padding = f"explicit {layer.detail}"
            return True
        if layer.kind == "SpaceToBatchND" and into.kind in CONVOLUTIONS and layer.dilation:
            into.dilation, into.padding = layer.dilation, "SAME"
            return True
        plain = not (layer.norm or layer.bias or layer.activation)
        pointwise = into.kind == "conv" and into.kernel == (1, 1) and into.strides in ((1, 1), ()) and not into.before
        if layer.kind == "depthwise" and plain and pointwise:
            into.kind, into.kernel, into.strides = "separable", layer.kernel, layer.strides
            into.padding, into.dilation, into.in_channels = layer.padding, layer.dilation, layer.in_channels
            into.before = layer.before
            return True
        return False

    def _weigh(self, layer: Layer) -> None:
        """Add up the layer's multiply-adds and the variables that no earlier layer has."""
        for name in list(layer.nodes):
            products = multiply_adds(self.graph.nodes[name], self.shapes)
            if layer.multiply_adds is not None:
                layer.multiply_adds = None if products is None else layer.multiply_adds + products
            # Walked by hand, because most nodes have no weights.
            waiting = [ref.node for ref in self.graph.nodes[name].inputs]
            while waiting:
                above = waiting.pop()
                if above in self.data or above in self.used or above not in self.graph.nodes:
                    continue
                self.used.add(above)
                layer.nodes.append(above)
                if above in self.variables:
                    layer.variables.append(above)
                    layer.parameters += self.variables[above].size
                waiting += [ref.node for ref in self.graph.nodes[above].inputs]

    def _name(self) -> None:
        """Name each layer after the scope of its main op, where no other layer has that name."""
        short = [_scope_name(layer.name) for layer in self.found]
        counts: dict[str, int] = {}
        for name in short:
            counts[name] = counts.get(name, 0) + 1
        scopes = {"/".join(name.split("/")[:depth]) for name in short for depth in range(1, name.count("/") + 1)}
        for layer, name in zip(self.found, short, strict=True):
            if counts[name] == 1 and name not in scopes:
                layer.name = name


def _scope_name(name: str) -> str:
    """Drop the op's own name where it only says what the op is."""
    parts = name.split("/")
    while len(parts) > 1 and _OP_LEAF.fullmatch(parts[-1]):
        parts.pop()
    return "/".join(parts)


def _common(a: str, b: str) -> int:
    """Return how many scopes two names share."""
    pairs = zip(a.split("/")[:-1], b.split("/")[:-1], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _epsilon(node: Node) -> float | None:
    value = node.attr("epsilon") or node.attr("variance_epsilon")
    return float(f"{value.f:.6g}") if value is not None else None


def total(layers: list[Layer]) -> tuple[int, int | None]:
    """Return the parameters and multiply-adds of ``layers`` together."""
    products = [layer.multiply_adds for layer in layers]
    known = None if None in products else sum(product for product in products if product is not None)
    return sum(layer.parameters for layer in layers), known


def spatial(shape: Shape) -> str:
    """Return a shape without its batch: ``42x42x1008``."""
    if shape is None:
        return "?"
    rest = shape[1:] if len(shape) > 1 else shape
    return size_text(rest) if rest else "scalar" if not shape else str(math.prod(size or 0 for size in shape))
