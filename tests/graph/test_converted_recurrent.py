"""Recurrent layers of converted .tflite files have as many parameters as Keras counts in their source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.foreign import Lite
from porter.formats.open import open_checkpoint
from porter.graph.analysis.analysis import Analysis
from porter.graph.foreign.open import read_source

pytest.importorskip("tensorflow")


def parameters(path: Path) -> int:
    return sum(variable.size for variable in Analysis(read_source(path)).variables.values())


def one(kind: str, **settings: Any) -> Callable[[Any, Any], Any]:
    return lambda k, x: getattr(k, kind)(6, **settings)(x)


def both(k: Any, x: Any) -> Any:
    return k.Bidirectional(k.GRU(6))(x)


def stacked(k: Any, x: Any) -> Any:
    return k.GRU(4, return_sequences=True)(k.GRU(6, return_sequences=True)(x))


def twice(k: Any, x: Any) -> Any:
    """One layer runs over the steps in both orders: two loops read the same weights."""
    gru = k.GRU(6)
    return k.concatenate([gru(x), gru(x * 2.0)])


@pytest.mark.slow
@pytest.mark.parametrize(("build", "batch", "stored"), [
    pytest.param(one("GRU"), 1, "float32", id="gru"),
    pytest.param(one("GRU"), None, "float32", id="gru, any batch"),
    pytest.param(one("GRU", return_sequences=True), 2, "float16", id="gru, float16"),
    pytest.param(one("GRU", reset_after=False), 1, "range", id="gru, reset before, quantized"),
    pytest.param(one("GRU", unroll=True), 2, "float32", id="gru, unrolled"),  # two rows with the same bias
    pytest.param(one("GRU", unroll=True), 1, "range", id="gru, unrolled, quantized"),
    pytest.param(one("LSTM"), 1, "float32", id="lstm"),
    pytest.param(one("LSTM", unroll=True), 1, "float32", id="lstm, unrolled"),
    pytest.param(one("SimpleRNN"), 1, "float32", id="simple rnn"),
    pytest.param(both, 1, "float32", id="bidirectional"),
    pytest.param(stacked, 1, "float32", id="stacked"),
    pytest.param(twice, 1, "float32", id="shared"),
])  # fmt: skip
def test_a_converted_layer_has_the_parameters_of_its_source(
    tf: Any, tmp_path: Path, build: Callable[[Any, Any], Any], batch: int | None, stored: str
) -> None:
    """tensorflow/tensorflow#56734 and #50226: the zeros that a loop begins with are no weights."""
    import keras

    x = keras.Input((5, 3), batch_size=batch)
    model = keras.Model(x, keras.layers.Dense(2)(build(keras.layers, x)))
    noise = np.random.default_rng(3)
    model.set_weights([noise.normal(size=weight.shape) for weight in model.get_weights()])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    converter.optimizations = [] if stored == "float32" else [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16] if stored == "float16" else []
    (tmp_path / "m.tflite").write_bytes(converter.convert())
    assert parameters(tmp_path / "m.tflite") == model.count_params()


def held_values(lite: Lite, at: int, suffix: str = "") -> list[int]:
    """Add the counter, the limit and the state that a loop holds."""
    values: list[tuple[str, tuple[int, ...], str]] = [
        ("n", (), "INT32"), ("most", (), "INT32"), ("held", (1, 3), "FLOAT32")
    ]  # fmt: skip
    return [lite.tensor(f"{name}{at}{suffix}", shape, kind) for name, shape, kind in values]


def looped(first: np.ndarray, share: bool) -> bytes:
    """Return two loops that begin with ``first``; each step adds a vector: its own, or the other's buffer."""
    lite = Lite()
    x, limit = lite.tensor("x", (1, 3)), lite.constant("limit", np.array(4, np.int32))
    count = lite.constant("count", np.array(0, np.int32))
    state, bias = lite.constant("state", first), np.array([[0.5, -1, 2]], np.float32)
    y = x
    for at in (1, 3):
        lite.subgraph(0)
        ends = held_values(lite, 0, f"_{at}")
        settings = {"condSubgraphIndex": at, "bodySubgraphIndex": at + 1}
        lite.add("WHILE", [count, limit, state], ends, "WhileOptions", **settings)
        total = lite.tensor(f"total{at}", (1, 3))
        y = lite.add("ADD", [y, ends[2]], [total], "AddOptions")
    lite.ends([x], [y])
    buffers = []
    for at in (1, 3):
        lite.subgraph(at)
        n, most, held = held_values(lite, at)
        lite.ends([n, most, held], [lite.add("LESS", [n, most], [lite.tensor(f"go{at}", (), "BOOL")])])
        lite.subgraph(at + 1)
        n, most, held = held_values(lite, at + 1)
        step, weight = lite.constant(f"step{at}", np.array(1, np.int32)), lite.constant(f"w{at}", bias * at)
        buffers.append(lite.graph.tensors[weight])
        grown = lite.add("ADD", [n, step], [lite.tensor(f"grown{at}", (), "INT32")], "AddOptions")
        added = lite.add("ADD", [held, weight], [lite.tensor(f"added{at}", (1, 3))], "AddOptions")
        lite.ends([n, most, held], [grown, most, added])
    if share:
        buffers[1].buffer = buffers[0].buffer
    lite.subgraph(0)
    packed: bytes = lite.packed([x], [y])
    return packed


@pytest.mark.parametrize(("first", "share", "count"), [
    ([[0, 0, 0]], False, 6),
    ([[0, 0, 0]], True, 3),
    ([[1, 2, 3]], True, 6),  # a learned first state
])  # fmt: skip
def test_what_a_loop_begins_with_is_no_weight_unless_it_is_learned(
    tmp_path: Path, first: list[list[float]], share: bool, count: int
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(looped(np.array(first, np.float32), share))
    assert parameters(path) == count
    kept = open_checkpoint(path)
    assert ("state" in kept.asides) == (not np.any(first))
    assert kept.asides.get("state", "first state of a loop") == "first state of a loop"
