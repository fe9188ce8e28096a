"""Dequantize nodes over constants: the floats that TensorFlow's own session computes, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.graphs import analysed
from porter.errors import FormatError
from porter.formats.open import open_checkpoint

INTEGERS = {"quint8": np.uint8, "qint8": np.int8, "quint16": np.uint16, "qint16": np.int16, "qint32": np.int32}


def constant(tf: Any, graph: Any, name: str, value: Any, dtype: str) -> str:
    proto = tf.make_tensor_proto(value)
    proto.dtype = getattr(tf, dtype).as_datatype_enum
    node = graph.node.add(op="Const", name=name)
    node.attr["dtype"].type = proto.dtype
    node.attr["value"].tensor.CopyFrom(proto)
    return name


def one_weight(tf: Any, values: np.ndarray, dtype: str, ends: Any = (-1.5, 2.25), **attributes: Any) -> Any:
    """Return a graph whose Dequantize ``w`` has these values, the ``ends`` of its range, and attributes."""
    graph = tf.compat.v1.GraphDef()
    parts = [constant(tf, graph, "w_quantized_const", values, dtype)]
    for name, end in zip(("w_quantized_min", "w_quantized_max"), ends, strict=True):
        parts.append(constant(tf, graph, name, np.float32(end), "float32"))
    node = graph.node.add(op="Dequantize", name="w", input=parts)
    node.attr["T"].type = getattr(tf, dtype).as_datatype_enum
    for name, value in attributes.items():
        node.attr[name].CopyFrom(tf.compat.v1.AttrValue(**value))
    read = graph.node.add(op="Identity", name="w/read", input=["w"])
    read.attr["T"].type = tf.float32.as_datatype_enum
    return graph


def run(tf: Any, graph: Any) -> np.ndarray:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graph, name="")
        return np.asarray(session.run("w:0"))


def opened(tmp_path: Path, graph: Any) -> Any:
    path = tmp_path / "one.pb"
    path.write_bytes(graph.SerializeToString())
    return open_checkpoint(path)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("mode", ["MIN_COMBINED", "MIN_FIRST", "SCALED"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_each_mode_is_computed_as_by_tensorflow(tf: Any, tmp_path: Path, dtype: str, mode: str, narrow: bool) -> None:
    draw, limits = np.random.default_rng(1), np.iinfo(INTEGERS[dtype])
    values = draw.integers(limits.min, limits.max, (16, 3), INTEGERS[dtype], endpoint=True)
    for ends in ((-1.5, 2.25), (-0.73, 0.11), (0.25, 3.0), (-2.0, -0.5), (0.5, 0.5)):
        graph = one_weight(tf, values, dtype, ends, mode={"s": mode.encode()}, narrow_range={"b": narrow})
        got, want = opened(tmp_path, graph)["w"], run(tf, graph)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert got.tobytes() == want.tobytes(), ends


@pytest.mark.parametrize("mode", ["MIN_COMBINED", "SCALED"])
@pytest.mark.parametrize("dtype", ["quint8", "qint8"])
def test_a_range_for_each_channel(tf: Any, tmp_path: Path, dtype: str, mode: str) -> None:
    values = np.arange(24).astype(INTEGERS[dtype]).reshape(2, 3, 4)
    ends = ([-1.0, -0.3, -2.0], [0.7, 0.1, 5.0])
    graph = one_weight(tf, values, dtype, ends, mode={"s": mode.encode()}, axis={"i": 1})
    assert opened(tmp_path, graph)["w"].tobytes() == run(tf, graph).tobytes()


def test_the_default_mode_is_the_ops_own(tf: Any, tmp_path: Path) -> None:
    graph = one_weight(tf, np.arange(12, dtype=np.uint8).reshape(3, 4), "quint8")
    assert opened(tmp_path, graph)["w"].tobytes() == run(tf, graph).tobytes()


def test_a_weight_is_counted_and_its_parts_are_told(tf: Any, tmp_path: Path) -> None:
    graph = one_weight(tf, np.zeros((3, 4), np.uint8), "quint8")
    checkpoint = opened(tmp_path, graph)
    assert {name: (entry.shape, entry.dtype.name) for name, entry in checkpoint.entries.items()} == {
        "w": ((3, 4), "float32")
    }
    assert set(checkpoint.asides) == {"w_quantized_const", "w_quantized_min", "w_quantized_max"}
    assert set(checkpoint.asides.values()) == {"quantized constant"}
    assert checkpoint.notes == (
        "1 weight is stored as integers behind Dequantize, and taken as the floats that TensorFlow computes from it",
    )
    variables = analysed(graph).all_variables
    assert {name: (each.size, each.bytes) for name, each in variables.items()} == {"w": (12, 12)}


def test_a_range_that_does_not_fit_is_refused(tf: Any, tmp_path: Path) -> None:
    graph = one_weight(tf, np.zeros((3, 4), np.uint8), "quint8", ([0.0, 1.0], [1.0, 2.0]))
    checkpoint = opened(tmp_path, graph)
    with pytest.raises(FormatError, match=r"one.pb: w has 2 minima and 2 maxima for its axis -1 of the shape \(3, 4\)"):
        checkpoint["w"]


def test_a_dequantize_of_activations_is_no_weight(tf: Any, tmp_path: Path) -> None:
    graph = one_weight(tf, np.zeros((3, 4), np.uint8), "quint8")
    graph.node[0].op = "Placeholder"
    constant(tf, graph, "kernel", np.ones((3, 4), np.float32), "float32")
    assert set(opened(tmp_path, graph)) == {"kernel"}
