"""V1, sliced, big-endian and object-based checkpoints read like TensorFlow's own reader."""

from __future__ import annotations

import math
import random
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import tables
from helpers.checkpoints import Saver, every_dtype, make_big_endian
from porter.errors import FormatError, PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.slices import slice_key
from porter.runners.tensorflow import read_variables

V1 = ["float16", "float32", "float64", "bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "complex64",
      "complex128", "qint8", "quint8", "qint32"]  # fmt: skip
WHOLE = np.arange(30, dtype=np.float32).reshape(5, 6) * np.float32(0.1)


def assert_same_bits(got: np.ndarray, want: np.ndarray, name: str) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape), name
    assert got.tobytes() == want.tobytes(), name


def assert_as_restored(checkpoint: Checkpoint) -> None:
    """Compare every tensor with TensorFlow's restore op."""
    assert checkpoint.opens_as is not None
    keys = {name: checkpoint.stored_as.get(name, name) for name in checkpoint}
    judged = read_variables(checkpoint.opens_as, keys.values())
    for name, key in keys.items():
        entry, got = checkpoint.entries[name], checkpoint[name]
        assert (entry.shape, entry.dtype) == (got.shape, got.dtype)
        assert_same_bits(got, judged[key], name)


def save_v1(tf: Any, path: Path, tensors: dict[str, Any]) -> Path:
    tf.raw_ops.Save(filename=str(path), tensor_names=list(tensors), data=list(tensors.values()))
    return path


def partitioned(tf: Any, prefix: Path, version: str, parts: Sequence[int]) -> tuple[Path, np.ndarray]:
    """Save a matrix in this many parts per axis, with a vector and a scalar; return the path and the matrix."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(3)
        matrix = tf.convert_to_tensor(v1.get_variable("w", (5, 6), partitioner=lambda **_: list(parts)))
        v1.get_variable("whole", initializer=WHOLE[0])
        v1.train.get_or_create_global_step()
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(write_version=getattr(v1.train.SaverDef, version))
        return Path(saver.save(session, str(prefix))), session.run(matrix)


@pytest.mark.parametrize("parts", [(1, 1), (2, 1), (3, 1), (1, 4)], ids=str)
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_a_partitioned_variable_is_stitched(tf: Any, tmp_path: Path, version: str, parts: tuple[int, int]) -> None:
    path, whole = partitioned(tf, tmp_path / "model.ckpt", version, parts)
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == f"TensorFlow {version} checkpoint"
    assert_same_bits(checkpoint["w"], whole, "w")
    assert set(checkpoint) == {"w", "whole", "global_step"}
    assert_as_restored(checkpoint)


def test_slices_along_both_axes(tf: Any, tmp_path: Path) -> None:
    """Four boxes: the format allows cuts along both axes, which variables do not use."""
    boxes = {
        f"5 6 {r},{h}:{c},{w}": WHOLE[r : r + h, c : c + w] for r, h in ((0, 2), (2, 3)) for c, w in ((0, 5), (5, 1))
    }
    save_slices(tf, tmp_path / "v2", boxes, 2)
    save_slices(tf, tmp_path / "v1", boxes, 1)
    for name in ("v1", "v2"):
        checkpoint = open_checkpoint(tmp_path / name)
        assert_same_bits(checkpoint["w"], WHOLE, name)
        assert_as_restored(checkpoint)


def save_slices(tf: Any, prefix: Path, boxes: dict[str, np.ndarray], version: int) -> None:
    names, specs, values = ["w"] * len(boxes), list(boxes), list(boxes.values())
    if version == 1:
        tf.raw_ops.SaveSlices(filename=str(prefix), tensor_names=names, shapes_and_slices=specs, data=values)
    else:
        tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=specs, tensors=values)


def test_slice_keys_are_tensorflows(tf: Any, tmp_path: Path) -> None:
    """Long axes take several bytes in the ordered code."""
    sides = (3, 63, 64, 8191, 8192, 70000)
    for side in sides:
        part = np.ones((side, 1), np.int8)
        boxes = {f"{2 * side} 1 0,{side}:-": part, f"{2 * side} 1 {side},{side}:-": part * np.int8(2)}
        save_slices(tf, tmp_path / "long", boxes, 2)
        checkpoint = open_checkpoint(tmp_path / "long")
        assert checkpoint["w"].sum() == 3 * side
    assert slice_key("w", ()) == b"\0w\0\1\0"
    assert slice_key("a\0b", ((0, -1),)) == b"\0a\0\xffb\0\1\1\1\x80\x7f"


def test_every_dtype_of_v1(tf: Any, tmp_path: Path) -> None:
    made = every_dtype(tf)
    tensors = {name: made[name] for name in V1} | {"scalar": tf.constant(-0.0), "empty": tf.zeros((3, 0))}
    checkpoint = open_checkpoint(save_v1(tf, tmp_path / "model.ckpt", tensors))
    assert set(checkpoint) == set(tensors)
    assert_as_restored(checkpoint)
    for name in ("float16", "complex64"):
        assert checkpoint[name].tobytes() == tensors[name].numpy().tobytes()


def test_strings_of_v1_are_asides(tf: Any, tmp_path: Path) -> None:
    tensors = {"names": tf.constant(["a", "b"]), "w": tf.constant(WHOLE)}
    checkpoint = open_checkpoint(save_v1(tf, tmp_path / "model.ckpt", tensors))
    assert (set(checkpoint), checkpoint.asides) == ({"w"}, {"names": "string"})


def test_a_sharded_v1_checkpoint_by_any_of_its_names(tf: Any, tmp_path: Path) -> None:
    save_v1(tf, tmp_path / "m.ckpt-00000-of-00002", {"a": tf.constant(WHOLE)})
    save_v1(tf, tmp_path / "m.ckpt-00001-of-00002", {"b": tf.constant(WHOLE[1])})
    (tmp_path / "m.ckpt.meta").write_bytes(b"\n\0")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "m.ckpt-?????-of-00002"\n')
    for named in ("m.ckpt", "m.ckpt.meta", "m.ckpt-?????-of-00002", "m.ckpt-00001-of-00002", "checkpoint", ""):
        checkpoint = open_checkpoint(tmp_path / named)
        assert set(checkpoint) == {"a", "b"}
        assert len(checkpoint.files) == 2
        assert_as_restored(checkpoint)
    (tmp_path / "m.ckpt-00000-of-00002").unlink()
    with pytest.raises(
        PorterError, match=r"is one of 2 files, but some are missing: copy them beside it\n  m.ckpt-00000"
    ):
        open_checkpoint(tmp_path / "m.ckpt-00001-of-00002")


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_a_meta_graph_leads_to_its_checkpoint(tf: Any, tmp_path: Path, version: str) -> None:
    path, whole = partitioned(tf, tmp_path / "model.ckpt-7", version, (1, 1))
    (tmp_path / "checkpoint").unlink()
    for named in ("model.ckpt-7.meta", ""):
        assert_same_bits(open_checkpoint(tmp_path / named)["w"], whole, named)
    assert open_checkpoint(path).path == path


def test_an_index_under_the_bare_prefix(tf: Any, save: Saver, tmp_path: Path) -> None:
    prefix = save({"w": WHOLE})
    Path(f"{prefix}.index").rename(prefix)
    checkpoint = open_checkpoint(prefix)
    assert_same_bits(checkpoint["w"], WHOLE, "w")
    assert checkpoint.opens_as is None


def test_a_dtype_that_numpy_lacks_is_an_aside(tf: Any, save: Saver) -> None:
    dtypes = tf.dtypes.experimental
    odd = {"int4": tf.cast([1, 2], dtypes.int4), "float8": tf.cast([1.0], dtypes.float8_e5m2)}
    checkpoint = open_checkpoint(save({"w": WHOLE, **odd}))
    assert checkpoint.asides == {"int4": "tensor of dtype int4", "float8": "tensor of dtype float8_e5m2"}
    with pytest.raises(
        FormatError, match="int4 is stored as tensor of dtype int4, which porter does not read yet: save"
    ):
        checkpoint["int4"]


def test_a_big_endian_bundle(tf: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    tensors = {kind: (noise.standard_normal((3, 4)) * 9).astype(kind) for kind in ("f2", "f4", "f8", "i8", "?")}
    tensors["c8"] = (noise.standard_normal(5) + 1j * noise.standard_normal(5)).astype("c8")
    checkpoint = open_checkpoint(make_big_endian(tmp_path / "big", tensors))
    for name, value in tensors.items():
        assert_same_bits(checkpoint[name], value, name)
    judge = tf.train.load_checkpoint(str(tmp_path / "big"))
    for name in tensors:
        assert_same_bits(judge.get_tensor(name), tensors[name], name)


def object_graph(tf: Any, *variables: tuple[str, str]) -> bytes:
    """Return an object graph of one object with these (full name, key)."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    graph = TrackableObjectGraph()
    root = graph.nodes.add()
    for number, (full_name, key) in enumerate(variables, 1):
        root.children.add(node_id=number, local_name=f"v{number}")
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=key)
    return graph.SerializeToString()


def test_a_big_endian_object_graph(tf: Any, tmp_path: Path) -> None:
    key = "v1/.ATTRIBUTES/VARIABLE_VALUE"
    graph = object_graph(tf, ("net/w", key))
    prefix = make_big_endian(tmp_path / "big", {key: WHOLE}, {"_CHECKPOINTABLE_OBJECT_GRAPH": graph})
    assert_same_bits(open_checkpoint(prefix)["net/w"], WHOLE, "net/w")


def small_model(keras: Any) -> Any:
    inputs = keras.Input((8, 8, 3))
    hidden = keras.layers.Conv2D(4, 3, name="conv1")(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization(name="bn")(hidden))


KERAS_NAMES = {"conv1/kernel", "conv1/bias", *(f"bn/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance"))}


@pytest.mark.parametrize("package", ["tf_keras", "keras"])
def test_an_object_based_checkpoint_of_keras(tf: Any, tmp_path: Path, package: str) -> None:
    model = small_model(pytest.importorskip(package))
    prefix = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.format == "TensorFlow object-based checkpoint"
    assert set(checkpoint) == {*KERAS_NAMES, "save_counter"}
    assert_as_restored(checkpoint)
    want = dict(zip([v.name.split(":")[0] for v in model.weights], model.get_weights(), strict=True))
    assert_same_bits(checkpoint["conv1/kernel"], want.get("conv1/kernel", want.get("kernel")), package)


def test_what_keras_2_saves_of_training(tf: Any, tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras")
    model = small_model(keras)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((2, 8, 8, 3)), np.zeros((2, 6, 6, 4)), verbose=0)
    model.save_weights(str(tmp_path / "weights"))
    model.save(str(tmp_path / "saved"))
    old = small_model(keras)
    old.compile(keras.optimizers.legacy.Adam(), "mse")
    old.fit(np.ones((2, 8, 8, 3)), np.zeros((2, 6, 6, 4)), verbose=0)
    old.save_weights(str(tmp_path / "old"))
    for name in ("weights", "saved", "saved/saved_model.pb", "saved/variables", "old"):
        checkpoint = open_checkpoint(tmp_path / name)
        assert set(checkpoint) == KERAS_NAMES, name
        assert_as_restored(checkpoint)
        roles = list(checkpoint.asides.values())
        assert roles.count("optimizer slot") >= 9
        assert roles.count("step counter") == 1
        assert roles.count("object graph") == 1
        assert ("metric" in roles) == name.startswith("saved")


def test_kerass_export_keeps_each_variable_twice(tf: Any, tmp_path: Path) -> None:
    import keras

    model = small_model(keras)
    model.export(str(tmp_path / "saved"), verbose=False)
    checkpoint = open_checkpoint(tmp_path / "saved")
    assert set(checkpoint) == KERAS_NAMES
    assert list(checkpoint.asides.values()).count("copy of a variable") == 6
    assert_as_restored(checkpoint)


def test_a_module_of_variables_without_names_of_their_own(tf: Any, tmp_path: Path) -> None:
    module = tf.Module()
    module.w = tf.Variable(WHOLE, name="net/weights")
    module.list = [tf.Variable(1.0), tf.Variable(2.0)]
    module.label = tf.Variable("a")
    tf.saved_model.save(module, str(tmp_path / "saved"))
    checkpoint = open_checkpoint(tmp_path / "saved")
    assert set(checkpoint) == {"net/weights", "list/0", "list/1"}, "Variable is the name of three"
    assert checkpoint["list/1"] == 2
    assert checkpoint.asides["label"] == "string"
    assert_as_restored(checkpoint)


def test_a_saved_model_of_tensorflow_1(tf: Any, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("net/weights", initializer=WHOLE)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "saved"))
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
    assert_same_bits(open_checkpoint(tmp_path / "saved")["net/weights"], WHOLE, "net/weights")
    shutil.rmtree(tmp_path / "saved" / "variables")
    with pytest.raises(FormatError, match=r"saved_model.pb is a SavedModel's graph, .*: copy that folder too"):
        open_checkpoint(tmp_path / "saved")


# ---- damage and malice


def write_object_based(tf: Any, path: Path) -> Path:
    module = tf.Module()
    module.w = tf.Variable(WHOLE, name="net/weights")
    return Path(tf.train.Checkpoint(m=module).write(str(path)))


FORMS: dict[str, Callable[[Any, Path], Path]] = {
    "V1": lambda tf, path: partitioned(tf, path, "V1", (2, 1))[0],
    "V2 in slices": lambda tf, path: partitioned(tf, path, "V2", (1, 3))[0],
    "object-based": write_object_based,
    "big-endian": lambda tf, path: make_big_endian(path, {"v": WHOLE, "w": WHOLE[0]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_refused_or_harmless(tf: Any, tmp_path: Path, form: str) -> None:
    prefix = FORMS[form](tf, tmp_path / "model.ckpt")
    want = {name: np.array(value) for name, value in open_checkpoint(prefix).items()}
    files = [prefix, Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001")]
    noise = random.Random(form)
    for path in filter(Path.is_file, files):
        whole = path.read_bytes()
        bits = [noise.randrange(8 * len(whole)) for _ in range(300)]
        cuts = [whole[: noise.randrange(len(whole))] for _ in range(50)]
        for damaged in (*cuts, *(flipped(whole, bit) for bit in bits)):
            path.unlink()  # not overwritten: it may be mapped
            path.write_bytes(damaged)
            found = read_or_none(prefix)
            assert found is None or found.keys() == want.keys()
            for name, value in (found or {}).items():
                assert_same_bits(value, want[name], name)
        path.unlink()
        path.write_bytes(whole)


def read_or_none(prefix: Path) -> dict[str, np.ndarray] | None:
    try:
        return dict(open_checkpoint(prefix))
    except PorterError:
        return None


def flipped(raw: bytes, bit: int) -> bytes:
    damaged = bytearray(raw)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


Box = tuple[tuple[int, int], ...]


def proto_shape(sides: Sequence[int]) -> bytes:
    return b"".join(tables.message(2, tables.number(1, side)) for side in sides)


def proto_slice(box: Box) -> bytes:
    """Return a TensorSliceProto; leaves out a length of -1."""
    extents = (tables.number(1, start) + (b"" if length < 0 else tables.number(2, length)) for start, length in box)
    return b"".join(tables.message(1, extent) for extent in extents)


def v2_of(sides: Sequence[int], boxes: Sequence[Box], shared: bool = False) -> tuple[bytes, bytes]:
    """Return (index, data) of a bundle with one tensor, w, in these slices of float32."""
    data, pairs = b"", {}
    for box in dict.fromkeys(boxes):
        raw = bytes(4 * max(0, math.prod(length for _, length in box))) if not shared else bytes(256)
        offset = 0 if shared else len(data)
        pairs[slice_key("w", box)] = tables.record(raw, [length for _, length in box], offset=offset)
        data = raw if shared else data + raw
    entry = tables.number(1, 1) + tables.message(2, proto_shape(sides))
    entry += b"".join(tables.message(7, proto_slice(box)) for box in boxes)
    return tables.table([(b"", tables.header()), *sorted(pairs.items()), (b"w", entry)]), data


def v1_of(sides: Sequence[int], boxes: Sequence[Box], values: int | None = None) -> bytes:
    """Return a V1 file of one tensor, w, in these float32 slices, each of its own number of values or ``values``."""
    pairs = {}
    for box in boxes:
        count = math.prod(length for _, length in box) if values is None else values
        tensor = tables.message(5, bytes(4 * max(0, count)))
        held = tables.message(1, b"w") + tables.message(2, proto_slice(box)) + tables.message(3, tensor)
        pairs[slice_key("w", box)] = tables.message(2, held)
    meta = tables.message(1, b"w") + tables.message(2, proto_shape(sides)) + tables.number(3, 1)
    meta += b"".join(tables.message(4, proto_slice(box)) for box in boxes)
    return tables.table([(b"", tables.message(1, tables.message(1, meta))), *sorted(pairs.items())])


def hostile(folder: Path, form: str, sides: Sequence[int], boxes: Sequence[Box]) -> Path:
    prefix = folder / "hostile.ckpt"
    if form == "V1":
        prefix.write_bytes(v1_of(sides, boxes))
        return prefix
    index, data = v2_of(sides, boxes)
    Path(f"{prefix}.index").write_bytes(index)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return prefix


GOOD = (((0, 2), (0, 6)), ((2, 3), (0, 6)))
SLICES: dict[str, tuple[str, Sequence[int], Sequence[Box]]] = {
    "an overlap": ("overlap", (5, 6), (((0, 3), (0, 6)), ((2, 3), (0, 6)))),
    "an overlap that hides a hole": ("overlap in 1,2:0,6", (4, 6), (((0, 2), (0, 6)), ((1, 2), (0, 6)))),
    "the same slice twice": ("overlap", (4, 6), (((0, 2), (0, 6)), ((0, 2), (0, 6)))),
    "a hole": (
        "leave a hole: they hold 24 values, but the shape (5, 6) 30",
        (5, 6),
        (((0, 2), (0, 6)), ((3, 2), (0, 6))),
    ),
    "one outside": ("3,3:0,6 does not lie in its shape (5, 6)", (5, 6), (((0, 2), (0, 6)), ((3, 3), (0, 6)))),
    "one of another rank": ("does not lie in its shape (5, 6)", (5, 6), (((0, 5),),)),
    "a terabyte": ("leave a hole", (1 << 38,), (((0, 4),), ((4, 4),))),
    "a shape beyond any array": ("which no array can have", (1 << 62, 1 << 62), GOOD),
}


@pytest.mark.parametrize("form", ["V1", "V2"])
@pytest.mark.parametrize("case", SLICES)
def test_hostile_slices_are_refused_by_name(tmp_path: Path, form: str, case: str) -> None:
    reason, sides, boxes = SLICES[case]
    prefix = hostile(tmp_path, form, sides, boxes)
    with pytest.raises(FormatError) as caught:
        open_checkpoint(prefix)["w"]
    told = str(caught.value)
    assert reason in told
    assert str(prefix) in told
    assert " w " in told
    assert told.endswith("; copy or download the checkpoint again")


@pytest.mark.parametrize("form", ["V1", "V2"])
def test_what_the_hostile_ones_vary_is_read(tf: Any, tmp_path: Path, form: str) -> None:
    checkpoint = open_checkpoint(hostile(tmp_path, form, (5, 6), GOOD))
    assert checkpoint["w"].shape == (5, 6)
    assert_as_restored(checkpoint)


@pytest.mark.parametrize("case", ["V1, one slice", "V1, many", "V2, many"])
def test_a_claimed_terabyte_takes_no_memory(tmp_path: Path, case: str) -> None:
    """The slices cover the claim, but the file does not hold their values."""
    side = 1 << 38
    boxes = [((0, side),)] if "one" in case else [((0, side // 2),), ((side // 2, side // 2),)]
    prefix = tmp_path / "hostile.ckpt"
    if case.startswith("V1"):
        prefix.write_bytes(v1_of((side,), boxes, values=3))
    else:
        raw, pairs = bytes(64), {}
        for number, box in enumerate(boxes):
            record = tables.record(raw, [side // 2], offset=2 * side * number)
            pairs[slice_key("w", box)] = record + tables.number(5, 2 * side)
        entry = tables.number(1, 1) + tables.message(2, proto_shape((side,)))
        entry += b"".join(tables.message(7, proto_slice(box)) for box in boxes)
        Path(f"{prefix}.index").write_bytes(
            tables.table([(b"", tables.header()), *sorted(pairs.items()), (b"w", entry)])
        )
        Path(f"{prefix}.data-00000-of-00001").write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"it has 3 values instead of|is cut off"):
        open_checkpoint(prefix)["w"]
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_slices_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    boxes = [((64 * at, 64),) for at in range(500)]
    index, data = v2_of((64 * 500,), boxes, shared=True)
    prefix = tmp_path / "hostile.ckpt"
    Path(f"{prefix}.index").write_bytes(index)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    with pytest.raises(FormatError, match="w and w share the bytes 0 to 256; copy or download"):
        open_checkpoint(prefix)


def test_a_slice_in_anothers_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.ckpt"
    first = tables.message(2, tables.message(1, b"v") + tables.message(2, proto_slice(GOOD[0])))
    meta = tables.message(1, b"w") + tables.message(2, proto_shape((2, 6))) + tables.number(3, 1)
    meta += tables.message(4, proto_slice(GOOD[0]))
    path.write_bytes(
        tables.table([(b"", tables.message(1, tables.message(1, meta))), (slice_key("w", GOOD[0]), first)])
    )
    with pytest.raises(FormatError, match=r"w cannot be read: the values of v \(0,2:0,6\) are stored in its place"):
        open_checkpoint(path)["w"]
    path.unlink()
    path.write_bytes(tables.table([(b"", tables.message(1, tables.message(1, meta)))]))
    with pytest.raises(FormatError, match=r"w cannot be read: its values are missing"):
        open_checkpoint(path)["w"]


GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (tables.message(1, tables.message(1, tables.number(1, 7))), "refers to a missing object"),
        (
            tables.message(1, tables.message(1, tables.number(1, tables.MINUS_ONE))),
            "refers to a missing object",
        ),
        (tables.message(1, tables.message(2, tables.number(3, 7))), "a number instead of a message"),
        (b"\x0a\x7f", "ends beyond its message"),
    ],
    ids=["a child that is missing", "a negative child", "a key that is a number", "cut"],
)
def test_a_hostile_object_graph_is_refused(tf: Any, save: Saver, graph: bytes, reason: str) -> None:
    prefix = save({"w": WHOLE, GRAPH: tf.constant(graph)})
    with pytest.raises(FormatError, match=rf"{GRAPH} cannot be read: .*{reason}; copy or download"):
        open_checkpoint(prefix)


def test_names_that_collide_lose_nothing(tf: Any, save: Saver) -> None:
    """Three objects want one name, which is another's path, and one names a missing key."""
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    keys = [name + suffix for name in ("a", "b", "w")]
    graph = object_graph(tf, ("w", keys[0]), ("w", keys[1]), ("b", keys[2]), ("gone", "gone" + suffix))
    tensors = {key: np.float32([number]) for number, key in enumerate(keys)}
    checkpoint = open_checkpoint(save({**tensors, "plain": WHOLE, GRAPH: tf.constant(graph)}))
    assert sorted(float(checkpoint[name][0]) for name in checkpoint if name != "plain") == [0, 1, 2]
    assert_as_restored(checkpoint)


def test_v1_reads_only_the_blocks_it_needs(tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.formats.tensorflow import sstable

    tensors = {f"layer_{number:02d}": np.full((64, 64), number, np.float32) for number in range(20)}
    path = save_v1(tf, tmp_path / "model.ckpt", tensors)
    read: list[int] = []
    block = sstable._block

    def noted(buffer: Any, offset: int, size: int) -> Any:
        read.append(offset)
        return block(buffer, offset, size)

    monkeypatch.setattr(sstable, "_block", noted)
    checkpoint = open_checkpoint(path)
    opened = len(read)
    assert max(offset for offset in read[:2]) > 20 * 64 * 64 * 4 * 0.9, "the directory, at the end"
    assert opened <= 6, "twice: the directory, what is there besides it, and the list of tensors"
    assert (checkpoint["layer_13"] == 13).all()
    assert len(read) == opened + 1
    assert all(a <= b for a, b in pairwise(sorted(read)))
