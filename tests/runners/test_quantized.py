"""Quantization-aware training: floats are ported, ranges keep a role of their own, and FakeQuant is passed through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers.checkpoints import Saver, seeded_variables
from porter import inspect, port, verify
from porter.catalog.goldens import recorded
from porter.formats.roles import RANGE, SHADOW_SUFFIX, VARIABLE, roles
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite.freeze import constant, freeze
from porter.graph.rewrite.quantized import without_fake_quant
from porter.runners.images import sample_paths

NAME = "mobilenet_v1_0.25_128"
SCOPE = "MobilenetV1/MobilenetV1/Conv2d_0"


def ranges() -> dict[str, np.ndarray]:
    """Return what tf.contrib.quantize adds for one layer, its moving averages under their whole names."""
    names = [f"{SCOPE}/{what}_quant/{end}" for what in ("act", "weights") for end in ("min", "max")]
    averaged = [f"{SCOPE}/act_quant/{name}/{what}" for name in names[:2] for what in ("biased", "local_step")]
    averaged.append(f"{SCOPE}/act_quant/min/biased")
    return {name: np.float32(number) for number, name in enumerate(names + averaged)}


def test_ranges_are_recognised_by_name() -> None:
    names = [*ranges(), f"{SCOPE}/act_quant/min{SHADOW_SUFFIX}"]
    assert set(roles(names).values()) == {RANGE}


@pytest.mark.parametrize("name", ["net/quant/min", "net/act_quant/min", "net/act_quant/weights", "net/minimum"])
def test_a_range_has_both_its_ends(name: str) -> None:
    assert roles([name, "net/act_quant/scale"])[name] == VARIABLE


def test_a_quantization_aware_checkpoint_is_ported_and_verified(tf: Any, save: Saver) -> None:
    prefix = save(seeded_variables() | ranges())
    result = port(NAME, checkpoint=prefix, verify=True)
    assert result
    assert result.translation.roles == {VARIABLE: 137, RANGE: 9}
    assert inspect(prefix).roles[RANGE] == 9


def quantized_graph() -> Any:
    """Return the frozen original with a FakeQuant, its range in variables, behind each activation."""
    graph = freeze(load_graph(recorded(NAME).graph), seeded_variables())
    activations = [node.name for node in graph.node if node.op == "Relu6"]
    moved = {name: f"{name.removesuffix('/Relu6')}/act_quant/FakeQuantWithMinMaxVars" for name in activations}
    for node in graph.node:
        for at, tensor in enumerate(node.input):
            node.input[at] = moved.get(tensor, tensor)
    for name, quant in moved.items():
        scope = quant.removesuffix("/FakeQuantWithMinMaxVars")
        for end, value in (("min", 0), ("max", 6)):
            graph.node.append(constant(f"{scope}/{end}", np.asarray(value, np.float32)))
            graph.node.add(name=f"{scope}/{end}/read", op="Identity", input=[f"{scope}/{end}"]).attr["T"].type = 1
        graph.node.add(name=quant, op="FakeQuantWithMinMaxVars", input=[name, f"{scope}/min/read", f"{scope}/max/read"])
    return graph


def test_a_frozen_quantization_aware_graph_is_verified_in_float(tf: Any, tmp_path: Path) -> None:
    path = tmp_path / "quantized.pb"
    path.write_bytes(quantized_graph().SerializeToString())
    result = verify(NAME, checkpoint=path)
    assert result
    assert result.reference.endswith("running quantized.pb without its 27 FakeQuant nodes")
    assert port(NAME, checkpoint=path).translation.roles[RANGE] == 54


def test_a_graph_runs_alike_as_graph_and_as_checkpoint(tf: Any, tmp_path: Path) -> None:
    """One runner for both: it passes FakeQuant through, finds the prefix, and notes rounded constants."""
    frozen, graph = quantized_graph(), GraphDef()
    next(node for node in frozen.node if node.op == "FusedBatchNormV3").attr["epsilon"].f = float(np.float32(1 / 3))
    for node in frozen.node:
        moved = graph.node.add()
        moved.CopyFrom(node)
        moved.name = f"import/{node.name}"
        moved.input[:] = [f"^import/{name[1:]}" if name[0] == "^" else f"import/{name}" for name in node.input]
    path = tmp_path / "quantized.pb"
    path.write_bytes(graph.SerializeToString())
    options: dict[str, Any] = {"images": sample_paths()[:1]}
    results = [
        verify(NAME, checkpoint=path, **options),
        verify(NAME, graph=path, **options),
        verify(NAME, graph=path, checkpoint=path, **options),
        verify(NAME, reference=f"tf:{path}", checkpoint=path, **options),
    ]
    for result in results:
        assert result.reference.endswith("running quantized.pb without its 27 FakeQuant nodes")
        (note,) = result.ports["torch"].notes
        assert "quantized.pb contains 1 constant that float32 rounded" in note
        assert result.ports["torch"].rows[0].exact is not None
        # The changed epsilon is the graph's alone.
        assert result.ports["torch"].first_divergence.endpoint == "Conv2d_0"
    first, *others = [result.as_dict() for result in results]
    assert all(other == first for other in others)


def test_an_unfrozen_quantization_aware_graph_is_verified_in_float_too(tf: Any, save: Saver, tmp_path: Path) -> None:
    """Its FakeQuant nodes, and the variables of their ranges, are not needed."""
    graph = load_graph(recorded(NAME).graph)
    scope = f"MobilenetV1/{SCOPE}/act_quant"
    relu = next(node for node in graph.node if node.op == "Relu6")
    for node in graph.node:
        node.input[:] = [f"{scope}/FakeQuant" if name == relu.name else name for name in node.input]
    for end in ("min", "max"):
        handle = graph.node.add(name=f"{scope}/{end}", op="VarHandleOp")
        handle.attr["dtype"].type = 1
        graph.node.add(name=f"{scope}/{end}/read", op="ReadVariableOp", input=[handle.name]).attr["dtype"].type = 1
    ends = [f"{scope}/{end}/read" for end in ("min", "max")]
    graph.node.add(name=f"{scope}/FakeQuant", op="FakeQuantWithMinMaxVars", input=[relu.name, *ends])
    path = tmp_path / "training.pb"
    path.write_bytes(graph.SerializeToString())
    result = verify(NAME, checkpoint=save(seeded_variables() | ranges()), graph=path, images=sample_paths()[:1])
    assert result, str(result.ports)
    assert result.reference.endswith(
        "running training.pb without its 1 FakeQuant nodes, filled by its own reader of model.ckpt"
    )


def test_a_graph_without_fake_quant_stays_as_it_is() -> None:
    graph = load_graph(recorded(NAME).graph)
    assert without_fake_quant(graph) == (graph, 0)
