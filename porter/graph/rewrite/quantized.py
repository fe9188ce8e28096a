"""without_fake_quant: a quantization-aware graph as it computes in float."""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

_FAKE_QUANT = {"FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"}
_FLOAT = 1


def without_fake_quant(graph: Any) -> tuple[Any, int]:
    """Return ``graph`` with every FakeQuant node replaced by an Identity, and the number of replaced nodes.

    A port keeps the trained float weights. Rounding them to 8 bits belongs to deployment.
    """
    floats = GraphDef(versions=graph.versions, library=graph.library)
    count = 0
    for node in graph.node:
        if node.op not in _FAKE_QUANT:
            floats.node.append(node)
            continue
        count += 1
        passed = floats.node.add(name=node.name, op="Identity", input=node.input[:1])
        passed.attr["T"].type = _FLOAT
    return (floats, count) if count else (graph, 0)
