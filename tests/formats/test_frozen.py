"""Frozen graphs read like TensorFlow's session and make_ndarray; everything else is refused."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.graphs import Maker, analysed
from porter.errors import FormatError, PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite.freeze import constant as frozen_constant


def assert_same_bits(got: np.ndarray, want: np.ndarray, name: str) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape), name
    assert got.tobytes() == want.tobytes(), name


def small_graph(tf: Any, resource: bool) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """Return (frozen GraphDef, unfrozen GraphDef, the session's variables) of a convolution with a batch norm."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session, v1.variable_scope("net", use_resource=resource):
        v1.set_random_seed(9)
        images = v1.placeholder(tf.float32, (None, 8, 8, 3), name="images")
        weights = v1.get_variable("conv/weights", (3, 3, 3, 4))
        gain = v1.get_variable("gain", (), initializer=v1.constant_initializer(-0.0))
        lookup = v1.get_variable("lookup", (3,), tf.int32, initializer=v1.constant_initializer([7, -8, 9]))
        statistics = [
            v1.get_variable(name, (4,), initializer=v1.random_uniform_initializer(0.5, 2))
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
        net = tf.nn.conv2d(images, weights, 1, "SAME") * gain
        gamma, beta, mean, variance = statistics
        net = tf.nn.batch_normalization(net, mean, variance, beta, gamma, 1e-3)
        net = tf.reshape(net, [-1, 256]) + tf.cast(tf.reduce_sum(lookup), tf.float32)
        tf.identity(net, name="logits")
        session.run(v1.global_variables_initializer())
        values = session.run({variable.op.name: variable for variable in v1.global_variables()})
        unfrozen = graph.as_graph_def()
        frozen = v1.graph_util.convert_variables_to_constants(session, unfrozen, ["net/logits"])
    return frozen, unfrozen, values


def write(path: Path, graph: Any) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["pb", "pb.gz"])
@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_a_graph_frozen_by_tensorflow(tf: Any, tmp_path: Path, resource: bool, packed: bool) -> None:
    frozen, _, values = small_graph(tf, resource)
    path = write(tmp_path / "frozen.pb", frozen)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    checkpoint = open_checkpoint(path)
    assert set(checkpoint) == set(values)
    assert len(checkpoint) == 7
    for name, value in values.items():
        entry = checkpoint.entries[name]
        assert (entry.shape, entry.dtype) == (value.shape, value.dtype), name
        assert_same_bits(checkpoint[name], np.asarray(value), name)


def test_other_constants_are_asides(tf: Any, tmp_path: Path) -> None:
    frozen, _, values = small_graph(tf, resource=True)
    checkpoint = open_checkpoint(write(tmp_path / "frozen.pb", frozen))
    constants = {node.name: node for node in frozen.node if node.op == "Const"}
    assert set(checkpoint.asides) == constants.keys() - values.keys()
    assert set(checkpoint.asides.values()) == {"graph constant"}
    kinds = {tf.make_ndarray(constants[name].attr["value"].tensor).dtype.kind for name in checkpoint.asides}
    assert kinds == {"f", "i"}, "the batch norm's epsilon and the reshape's sides"


def test_a_string_constant_is_an_aside(tf: Any, tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        tf.constant(["background", "tench"], name="labels")
        tf.constant([[1.5]], name="weights")
    checkpoint = open_checkpoint(write(tmp_path / "labels.pb", graph.as_graph_def()))
    assert checkpoint.asides == {"labels": "graph constant"}
    assert set(checkpoint) == {"weights"}


def one_constant(tf: Any, proto: Any) -> Any:
    """Return a graph of one constant with a variable's read."""
    graph = tf.compat.v1.GraphDef()
    constant = graph.node.add(name="w", op="Const")
    constant.attr["dtype"].type = proto.dtype
    constant.attr["value"].tensor.CopyFrom(proto)
    read = graph.node.add(name="w/read", op="Identity", input=["w"])
    read.attr["T"].type = proto.dtype
    return graph


def read_back(tf: Any, tmp_path: Path, proto: Any) -> np.ndarray:
    return open_checkpoint(write(tmp_path / "one.pb", one_constant(tf, proto)))["w"]


def run(tf: Any, proto: Any) -> np.ndarray:
    """Return the constant's value as TensorFlow's session computes it."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.import_graph_def(one_constant(tf, proto), name="")
        return np.asarray(session.run(graph.get_tensor_by_name("w:0")))


def widened(values: np.ndarray) -> np.ndarray:
    if values.dtype.name != "bfloat16":
        return values
    return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def proto_of(tf: Any, dtype: str, shape: tuple[int, ...], **fields: Any) -> Any:
    proto = type(tf.compat.v1.make_tensor_proto(0))(dtype=tf.as_dtype(dtype).as_datatype_enum)
    for side in shape:
        proto.tensor_shape.dim.add(size=side)
    for name, value in fields.items():
        if isinstance(value, bytes):
            setattr(proto, name, value)
        else:
            getattr(proto, name).extend(value)
    return proto


SPECIAL = [1.5, -0.0, float("inf"), float("-inf"), float("nan"), 2.0**-149]
LISTED = {
    "float32": ("float_val", SPECIAL),
    "float64": ("double_val", [*SPECIAL[:5], 5e-324]),
    "float16": ("half_val", [0x3E00, 0x8000, 0x7C00, 0xFC00, 0x7E01, 0x0001]),
    "bfloat16": ("half_val", [0x3FC0, 0x8000, 0x7F80, 0xFF80, 0x7FC1, 0x0001]),
    "int8": ("int_val", [1, -128, 127, -1, 0, 5]),
    "uint8": ("int_val", [1, 255, 128, 0, 3, 7]),
    "int16": ("int_val", [1, -(2**15), 2**15 - 1, -1, 0, 5]),
    "uint16": ("int_val", [1, 2**16 - 1, 0, 3, 4, 9]),
    "int32": ("int_val", [1, -(2**31), 2**31 - 1, -1, 0, 5]),
    "int64": ("int64_val", [1, -(2**63), 2**63 - 1, -1, 0, 5]),
    "uint32": ("uint32_val", [1, 2**32 - 1, 0, 3, 4, 9]),
    "uint64": ("uint64_val", [1, 2**64 - 1, 0, 3, 2**63, 9]),
    "bool": ("bool_val", [True, False, True, True, False, False]),
    "complex64": ("scomplex_val", [1.5, -0.0, -0.0, 2.0, float("inf"), 1.0, 1.0, float("inf"), 0.0, 0.0, -1.0, -0.0]),
    "complex128": ("dcomplex_val", [1.5, -0.0, -0.0, 2.0, float("inf"), 1.0, 1.0, float("inf"), 0.0, 0.0, -1.0, -0.0]),
}  # fmt: skip


@pytest.mark.parametrize("count", [6, 4, 1, 0], ids=["whole", "the last repeated", "splat", "left out"])
@pytest.mark.parametrize("dtype", LISTED)
def test_values_listed_one_by_one(tf: Any, tmp_path: Path, dtype: str, count: int) -> None:
    field, listed = LISTED[dtype]
    proto = proto_of(tf, dtype, (2, 3), **{field: listed[: count * len(listed) // 6]})
    got = read_back(tf, tmp_path, proto)
    assert_same_bits(got, widened(run(tf, proto)), "the session")
    assert_same_bits(got, widened(tf.make_ndarray(proto)), "make_ndarray")


@pytest.mark.parametrize("dtype", LISTED)
def test_tensor_content(tf: Any, tmp_path: Path, dtype: str) -> None:
    size = np.dtype(tf.as_dtype(dtype).as_numpy_dtype).itemsize
    content = random.Random(dtype).randbytes(6 * size) if dtype != "bool" else b"\1\0\1\1\0\0"
    proto = proto_of(tf, dtype, (3, 1, 2), tensor_content=content)
    got = read_back(tf, tmp_path, proto)
    assert_same_bits(got, widened(run(tf, proto)), "the session")
    assert_same_bits(got, widened(tf.make_ndarray(proto)), "make_ndarray")


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (5,), (64, 3)], ids=str)
@pytest.mark.parametrize("fill", [False, True], ids=["values", "fill"])
def test_what_make_tensor_proto_writes(tf: Any, tmp_path: Path, shape: tuple[int, ...], fill: bool) -> None:
    values = np.full(shape, 2.5, np.float32) if fill else np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    proto = tf.compat.v1.make_tensor_proto(2.5, tf.float32, shape) if fill else tf.compat.v1.make_tensor_proto(values)
    got = read_back(tf, tmp_path, proto)
    assert_same_bits(got, values, "the values")
    assert_same_bits(got, tf.make_ndarray(proto), "make_ndarray")


def test_a_list_that_ends_early_repeats_its_last(tf: Any, tmp_path: Path) -> None:
    got = read_back(tf, tmp_path, proto_of(tf, "float32", (2, 3), float_val=[1, 2]))
    assert got.tolist() == [[1, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize("listed", [[1.5], []], ids=["splat", "left out"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_fill_of_32_gibibytes_takes_no_memory(tf: Any, tmp_path: Path, dtype: str, listed: list[float]) -> None:
    field = LISTED[dtype][0]
    values = [0x3FC0] * len(listed) if field == "half_val" else listed
    path = write(tmp_path / "one.pb", one_constant(tf, proto_of(tf, dtype, (1 << 23, 1 << 10), **{field: values})))
    assert path.stat().st_size < 200
    checkpoint = open_checkpoint(path)
    filled = checkpoint["w"]
    assert filled.shape == checkpoint.entries["w"].shape == (1 << 23, 1 << 10)
    assert filled.strides == (0, 0)
    assert filled[-1, -1] == (1.5 if listed else 0)


def test_only_a_whole_name_makes_a_read(tmp_path: Path) -> None:
    """Both the reader of weights and the inspector know a variable by the same rule."""
    make = Maker()
    scalars = {}
    for reader in ("read", "ReadVariableOp", "ReadVariableOp_1", "spread", "thread", "read_1", "Read", "reader"):
        constant = f"{reader}/of"
        make.graph.node.append(frozen_constant(constant, np.float32(7)))
        make("Identity", f"net/{reader}", constant)
        scalars[constant] = reader in ("read", "ReadVariableOp", "ReadVariableOp_1")
    path = write(tmp_path / "frozen.pb", make.graph)
    read = {name for name, reads in scalars.items() if reads}
    assert set(open_checkpoint(path)) == read
    assert set(analysed(make.graph).variables) == read


HOSTILE: dict[str, Callable[[Any], Any]] = {
    "a few values for 32 GiB": lambda tf: proto_of(tf, "float32", (1 << 33,), float_val=[1, 2]),
    "more bytes than any address": lambda tf: proto_of(tf, "float32", (1 << 62,), float_val=[1]),
    "a shape that overflows": lambda tf: proto_of(tf, "float32", (1 << 40, 1 << 40), float_val=[1]),
    "a shape that overflows to nothing": lambda tf: proto_of(tf, "float32", (1 << 32, 1 << 32), float_val=[]),
    "an empty shape beyond an array": lambda tf: proto_of(tf, "float32", (0, 1 << 62), float_val=[]),
    "a negative side": lambda tf: proto_of(tf, "float32", (-1,), float_val=[]),
    "two negative sides": lambda tf: proto_of(tf, "float32", (-1, -1), float_val=[1]),
    "a hundred axes": lambda tf: proto_of(tf, "float32", (1,) * 100, float_val=[1]),
    "too many values": lambda tf: proto_of(tf, "float32", (2,), float_val=[1, 2, 3]),
    "too few bytes": lambda tf: proto_of(tf, "float32", (2,), tensor_content=bytes(4)),
    "one value's bytes for 32 GiB": lambda tf: proto_of(tf, "float32", (1 << 33,), tensor_content=bytes(4)),
    "too many bytes": lambda tf: proto_of(tf, "float32", (2,), tensor_content=bytes(12)),
    "half a value": lambda tf: proto_of(tf, "float32", (2,), tensor_content=bytes(6)),
    "half a complex": lambda tf: proto_of(tf, "complex64", (2,), scomplex_val=[1, 2, 3]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_constant_is_refused_when_read(tf: Any, tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "hostile.pb", one_constant(tf, HOSTILE[case](tf)))
    checkpoint = open_checkpoint(path)
    with pytest.raises(FormatError, match=r": w .*; copy or download it again$") as caught:
        checkpoint["w"]
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("dtype", "listed"), [("uint8", [300, -1]), ("int8", [128, -129]), ("bool", [True, False])])
def test_integers_that_do_not_fit_are_cut_as_tensorflow_cuts_them(
    tf: Any, tmp_path: Path, dtype: str, listed: list[int]
) -> None:
    proto = proto_of(tf, dtype, (2,), **{LISTED[dtype][0]: listed})
    assert_same_bits(read_back(tf, tmp_path, proto), run(tf, proto), dtype)


def test_an_unfrozen_graph_says_what_to_do(tf: Any, tmp_path: Path) -> None:
    _, unfrozen, _ = small_graph(tf, resource=True)
    without_initializers = tf.compat.v1.graph_util.extract_sub_graph(unfrozen, ["net/logits"])
    path = write(tmp_path / "unfrozen.pb", without_initializers)
    with pytest.raises(FormatError, match=r"without weights.*as `checkpoint`") as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)


def refused(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        open_checkpoint(path)
    told = str(caught.value)
    assert str(path) in told
    assert "copy or download it again" in told or "name a TensorFlow checkpoint" in told
    return told


@pytest.mark.parametrize("packed", [False, True], ids=["pb", "pb.gz"])
def test_a_graph_cut_anywhere_but_between_nodes_is_refused(tf: Any, tmp_path: Path, packed: bool) -> None:
    frozen, _, _ = small_graph(tf, resource=True)
    path = write(tmp_path / "frozen.pb", frozen)
    whole = path.read_bytes()
    between, at = set(), 0
    for node in frozen.node:
        single = type(frozen)(node=[node])
        at += single.ByteSize()
        between.add(at)
    whole = gzip.compress(whole) if packed else whole
    sizes = range(1, len(whole)) if packed else sorted(set(range(1, len(whole))) - between)
    for size in random.Random(6).sample(sizes, 150):
        path.write_bytes(whole[:size])
        refused(path)


def assert_only_format_errors(path: Path) -> Checkpoint | None:
    try:
        checkpoint = open_checkpoint(path)
    except FormatError:
        return None
    for name, entry in checkpoint.entries.items():
        try:
            value = checkpoint[name]
        except FormatError:
            continue
        assert (value.shape, value.dtype) == (entry.shape, entry.dtype)
    return checkpoint


@pytest.mark.parametrize("packed", [False, True], ids=["pb", "pb.gz"])
def test_flipped_bits_raise_nothing_else(tf: Any, tmp_path: Path, packed: bool) -> None:
    graph = tf.compat.v1.GraphDef()
    for number, (dtype, (field, listed)) in enumerate(LISTED.items()):
        one = one_constant(tf, proto_of(tf, dtype, (2, 3), **{field: listed}))
        for node, name in zip(one.node, (f"v{number}", f"v{number}/read"), strict=True):
            node.name = name
        one.node[1].input[0] = f"v{number}"
        graph.MergeFrom(one)
    path = write(tmp_path / "flipped.pb", graph)
    checkpoint = assert_only_format_errors(path)
    assert checkpoint is not None
    assert len(checkpoint) == len(LISTED)
    whole = path.read_bytes()
    whole = gzip.compress(whole) if packed else whole
    for bit in random.Random(7).sample(range(8 * len(whole)), 1500):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert_only_format_errors(path)


@pytest.mark.parametrize("stripped", [False, True], ids=["with op list", "bare"])
def test_a_metagraph_is_refused(tf: Any, tmp_path: Path, stripped: bool) -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.get_variable("weights", (2, 2))
        meta = tf.compat.v1.train.export_meta_graph(graph=graph)
    if stripped:
        meta.ClearField("meta_info_def")
    path = write(tmp_path / "graph.pb", meta)
    if stripped:  # only its op list tells it from other messages
        refused(path)
    else:
        with pytest.raises(FormatError, match=r"a graph without weights, .* give the checkpoint that belongs to it"):
            open_checkpoint(path)
    path = write(tmp_path / "model.ckpt.meta", meta)
    with pytest.raises(PorterError, match=r"holds a graph, and its values lie in model.ckpt.index or model.ckpt: copy"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "head", [b"", b"\n", b"\x1f\x8b", b"\x1f\x8b\x08\0"], ids=["any", "newline", "gzip", "deflate"]
)
def test_random_bytes_are_refused(tmp_path: Path, head: bytes) -> None:
    noise = random.Random(8)
    path = tmp_path / "noise.pb"
    for size in (1, 20, 300, 5000):
        path.write_bytes((head or b"\xab") + noise.randbytes(size))
        refused(path)


def test_no_value_is_read_while_opening(tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen, _, _ = small_graph(tf, resource=False)
    path = write(tmp_path / "frozen.pb", frozen)

    def read(*_: Any) -> np.ndarray:
        raise AssertionError("read while opening")

    monkeypatch.setattr("porter.formats.tensorflow.frozen.tensor_values", read)
    assert len(open_checkpoint(path)) == 7


def test_a_file_of_comment_signs_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    for raw in (b"# " * 50_000, b"#\n" * 50_000, b"# " * 50_000 + b"\nnod"):
        path.write_bytes(raw)
        with pytest.raises(FormatError, match="is not a whole TensorFlow graph"):
            load_graph(path)
