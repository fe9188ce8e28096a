"""A quantization-aware graph's own floats: its FakeQuant nodes passed through."""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

_FAKE_QUANT = {"FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"}
_FLOAT = 1


def without_fake_quant(graph: Any) -> tuple[Any, int]:
    """Return ``graph`` with every FakeQuant an Identity of its input, and how many there were.

    A port holds the weights as they were trained, in float; rounding them to 8 bits is the deployment's.
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
