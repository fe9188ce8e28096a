"""check_ops: refuses to run an untrusted graph with ops that are not pure functions of their inputs.

A GraphDef can read and write files, open sockets and call Python. porter therefore runs listed ops only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from porter.errors import FormatError, listing

PURE_OPS = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax AvgPool BatchMatMul BatchMatMulV2 BatchToSpaceND BiasAdd BroadcastTo Cast Ceil
    ClipByValue Concat ConcatV2 Const Conv2D DepthwiseConv2dNative Dequantize Div Elu Equal Exp ExpandDims
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod
    FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GatherV2 Greater GreaterEqual Identity IdentityN LRN LeakyRelu
    Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum
    MirrorPad Mul Neg NoOp NotEqual Pack Pad PadV2 Placeholder PlaceholderV2 PlaceholderWithDefault Pow Prod Range
    Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor Rsqrt Select SelectV2 Selu Shape
    Sigmoid Size Slice Softmax Softplus SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze
    StopGradient StridedSlice Sub Sum Tanh Tile TopKV2 Transpose TruncateDiv Unpack ZerosLike
    """.split()
)


def check_ops(graph: Any, path: Path | str, needed: str = "its logits need") -> None:
    """Raise FormatError, which names the nodes, if ``graph`` contains an op outside ``PURE_OPS``.

    ``needed`` completes "the nodes that …" in the message.
    """
    others = sorted(f"{node.op} at {node.name}" for node in graph.node if node.op not in PURE_OPS)
    if others:
        raise FormatError(
            f"{path} is not run: {len(others)} of the nodes that {needed} are not pure tensor ops and could touch "
            "files or the network; freeze the inference graph alone, or set `trust_graph=True` if you trust its "
            f"author:{listing(others)}"
        )
