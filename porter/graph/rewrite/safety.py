"""check_ops: refuses to run an untrusted graph with ops that do more than compute.

A GraphDef can read and write files, open sockets and call Python. porter therefore runs listed ops only, and says of
the others what they do: only some of them touch the machine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from porter.errors import FormatError, listing
from porter.formats.tensorflow.graphdef import node_of

PURE_OPS = frozenset(
    """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 AdjustContrastv2 AdjustHue AdjustSaturation All Any ArgMax ArgMin Asin
    Asinh Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd Bitcast
    BroadcastArgs BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D
    Conv3DBackpropInputV2 Cos Cosh CropAndResize Cumprod Cumsum DecodeBmp DecodeImage DecodeJpeg DecodePng DecodeRaw
    DepthToSpace DepthwiseConv2dNative Dequantize Dilation2D Div DivNoNan Einsum Elu EnsureShape Equal Erf Erfc Exp
    ExpandDims Expm1 ExtractImagePatches FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
    FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3
    FusedPadConv2D FusedResizeAndPadConv2D Gather GatherNd GatherV2 Greater GreaterEqual HSVToRGB Identity IdentityN
    Inv InvertPermutation LRN LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul
    MatrixBandPart Max MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Maximum Mean Merge Min Minimum MirrorPad Mod Mul
    MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 Placeholder PlaceholderV2 PlaceholderWithDefault Pow
    PreventGradient Prod RGBToHSV Range Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic
    ResizeBilinear ResizeNearestNeighbor Reverse ReverseV2 Rint Roll Round Rsqrt ScaleAndTranslate Select SelectV2 Selu
    Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus Softsign SpaceToBatchND SpaceToDepth
    SparseToDense Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Switch Tan Tanh
    Tile TopK TopKV2 Transpose TruncateDiv Unpack Where Xdivy Xlogy ZerosLike _FusedBatchNormEx _FusedConv2D
    _FusedDepthwiseConv2dNative _FusedMatMul
    """.split()
)

CHECKS = frozenset({"Assert", "CheckNumerics"})
"""Ops that only stop a run: TensorFlow counts them as stateful, so that it does not prune them."""

_OPENED = frozenset("PartitionedCall StatefulPartitionedCall If StatelessIf While StatelessWhile".split())
"""Ops that call functions of the graph, which `check_loading` looks into."""
_READS = frozenset("VarHandleOp VariableV2 Variable ReadVariableOp".split())
_RESTORES = frozenset("RestoreV2 Restore RestoreSlice Assign AssignVariableOp".split())

RANDOM = "draw random numbers"
FEEDS = "take tensors from a queue or an iterator"
_LOOPS = "loop"
_STATE = "hold state between runs"
_CALLS = "call functions that porter does not open"
_FILES, _NETWORK, _CODE = "read or write files", "use the network", "run code from outside the graph"
_UNKNOWN = "are not known as pure tensor ops"

_KINDS = {
    _FILES: r"(Read|Write|Matching)Files?|(Save|Restore|Merge)(V2|V2Checkpoints|Slices?)?|LoadAndRemap\w+|"
    r"ImmutableConst|(?!Reader|Identity)\w*Reader(V2)?|\w*(TextLine|Record|FixedLength|LMDB|Cache|Snapshot|Sql|CSV|MatchingFiles|"
    r"Save|Load)\w*Dataset\w*|InitializeTableFromTextFile\w*|\w*Summary\w*|Debug\w+",
    _NETWORK: r"_?(Host)?(Send|Recv)|Collective\w+|Rpc\w*|\w*TPU\w*|\w*DataService\w*|\w*Nccl\w*",
    _CODE: r"(Eager)?PyFunc(Stateless)?|_?Xla\w+|TRTEngineOp|\w*Generator\w*Dataset|RemoteFusedGraphExecute",
    FEEDS: r"\w*Queue\w*|\w*Iterator\w*|\w*Dataset\w*|(Ordered)?(Map)?(Un)?[Ss]tage\w*|\w*Barrier\w*|\w*Reader\w*",
    RANDOM: r"\w*Random\w*|TruncatedNormal|ParameterizedTruncatedNormal|Multinomial|SampleDistortedBoundingBox\w*",
    _LOOPS: r"(Ref)?(Enter|Exit|NextIteration)|LoopCond|(Stateless)?While|TensorArray\w*|TensorList\w*",
    _CALLS: r"(Stateful)?PartitionedCall|(Stateless)?(If|Case)|SymbolicGradient|RemoteCall|MapDefun",
    _STATE: r"\w*Variable\w*|VarHandleOp|(Ref)?Assign\w*|\w*Table\w*|TemporaryVariable|Stack\w+|Mutex\w*|Print(V2)?",
}
"""What ops outside PURE_OPS do, and patterns of their names, in the order in which they are tried."""


def what_ops_do(nodes: Iterable[Any], besides: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """Return the ops of ``nodes`` outside PURE_OPS and ``besides`` as ``op at node``, by what they do."""
    found: dict[str, list[str]] = {}
    harmless = PURE_OPS | CHECKS | besides
    for node in nodes:
        if node.op not in harmless:
            found.setdefault(_what(node.op), []).append(f"{node.op} at {node.name}")
    return {what: sorted(found[what]) for what in (*_KINDS, _UNKNOWN) if what in found}


def ops_of(places: Iterable[str]) -> str:
    """Return the distinct ops among ``what_ops_do``'s places, the most frequent first."""
    return ", ".join(op for op, _ in Counter(place.partition(" at ")[0] for place in places).most_common())


def _what(op: str) -> str:
    return next((what for what, pattern in _KINDS.items() if re.fullmatch(pattern, op)), _UNKNOWN)


def check_ops(graph: Any, path: Path | str, needed: str = "its logits need") -> None:
    """Raise FormatError, which names the nodes and what they do, if ``graph`` contains an op outside ``PURE_OPS``.

    ``needed`` completes "the nodes that …" in the message.
    """
    found = what_ops_do(graph.node)
    if not found:
        return
    places = [place for what in found for place in found[what]]
    # All but random numbers may hide more: a dataset, for example, calls functions.
    trust = "to run them all the same" if list(found) == [RANDOM] else "if you trust its author"
    raise FormatError(
        f"{path} is not run: {len(places)} of the nodes that {needed} are not pure tensor ops: they {_listed(found)}; "
        f"freeze the inference graph alone, or set `trust_graph=True` {trust}:{listing(places)}"
    )


def check_loading(graph: Any, runs: Iterable[str], restores: Iterable[str]) -> str:
    """Return what forbids TensorFlow to load a graph and to run the nodes ``runs``; "" if all ops are harmless.

    Functions count with all of their nodes. The nodes ``restores`` may also read a checkpoint into variables.
    """
    found = what_ops_do(_reached(graph, runs), _OPENED | _READS)
    found |= what_ops_do(_reached(graph, restores), _OPENED | _READS | _RESTORES)
    return f"its ops {_listed(found)} ({ops_of(chain(*found.values()))})" if found else ""


def _reached(graph: Any, names: Iterable[str]) -> Iterator[Any]:
    """Yield the nodes that ``names`` need, and all nodes of the functions that these call, but not the calls."""
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    seen: set[str] = set()
    called: set[str] = set()
    bodies: list[Any] = []
    waiting = list(names)
    while waiting or bodies:
        node = bodies.pop() if bodies else None
        if node is None:
            name = waiting.pop()
            if name in seen or name not in nodes:
                continue
            seen.add(name)
            node = nodes[name]
            waiting.extend(map(node_of, node.input))
        if node.op not in functions:
            yield node
        for name in _called(node) & functions.keys() - called:
            called.add(name)
            bodies.extend(functions[name].node_def)


def _called(node: Any) -> set[str]:
    """Return the names of all functions that a node mentions."""
    values = node.attr.values()
    several = {function.name for value in values for function in value.list.func}
    return {node.op, *(value.func.name for value in values if value.HasField("func")), *several}


def _listed(found: Iterable[str]) -> str:
    *others, last = found
    return f"{', '.join(others)} and {last}" if others else last
