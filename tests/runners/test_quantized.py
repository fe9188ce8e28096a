"""Quantization-aware training: floats are ported, ranges are told apart, and FakeQuant is passed through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import Saver, seeded_variables
from porter import inspect, port, verify
from porter.catalog.goldens import recorded
from porter.formats.roles import RANGE, SHADOW_SUFFIX, VARIABLE, roles
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite.freeze import constant, freeze
from porter.graph.rewrite.quantized import without_fake_quant

NAME = "mobilenet_v1_0.25_128"
SCOPE = "MobilenetV1/MobilenetV1/Conv2d_0"


def ranges() -> dict[str, np.ndarray]:
    """Return what tf.contrib.quantize adds for one layer, its moving averages under their whole names."""
    names = [f"{SCOPE}/{what}_quant/{end}" for what in ("act", "weights") for end in ("min", "max")]
    averaged = [f"{SCOPE}/act_quant/{name}/{what}" for name in names[:2] for what in ("biased", "local_step")]
    averaged.append(f"{SCOPE}/act_quant/min/biased")
    return {name: np.float32(number) for number, name in enumerate(names + averaged)}


def test_ranges_are_told_by_name() -> None:
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


def test_a_graph_without_fake_quant_stays_as_it_is() -> None:
    graph = load_graph(recorded(NAME).graph)
    assert without_fake_quant(graph) == (graph, 0)
