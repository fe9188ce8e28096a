"""What porter writes for TensorFlow, read and run by TensorFlow: checkpoints, their .meta, and frozen graphs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL, every_dtype
from helpers.logits import judged
from porter import port
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.formats.dtypes import widen_bfloat16
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.bundle_writer import data_file, in_order, index_file, stored, write_bundle
from porter.mapping.head import Head
from porter.mapping.table import Table
from porter.runners.golden import golden_images
from porter.verbs.check import check
from porter.verbs.seed import seed

LOGITS = "MobilenetV1/Logits/SpatialSqueeze:0"
SOFTMAX = "MobilenetV1/Predictions/Reshape_1:0"


@pytest.fixture(scope="module")
def torchs(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model's port to PyTorch."""
    out = tmp_path_factory.mktemp("torch") / "m.safetensors"
    port(SMALL, checkpoint=small, out=out)
    return out


@pytest.fixture(scope="module")
def written(torchs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The way back, as a checkpoint and as a frozen graph: their common folder."""
    folder = tmp_path_factory.mktemp("back")
    for name in ("m.ckpt", "m.pb"):
        port(SMALL, "torch", "tf", checkpoint=torchs, out=folder / name)
    return folder


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return golden_images(recorded(SMALL).input_size).astype(np.float32)


@contextmanager
def session(tf: Any) -> Iterator[Any]:
    with tf.Graph().as_default(), tf.compat.v1.Session() as opened:
        yield opened


def test_tensorflow_reads_the_checkpoint_with_its_checksums(tf: Any, written: Path) -> None:
    reader = tf.train.load_checkpoint(str(written / "m.ckpt"))
    want = seeded_checkpoint(recorded(SMALL))
    assert set(reader.get_variable_to_shape_map()) == set(want)
    assert all(reader.get_tensor(name).tobytes() == want[name].tobytes() for name in want)
    data, (damaged, *_) = data_file(written / "m.ckpt"), in_order(want)
    whole = data.read_bytes()
    data.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    try:
        with pytest.raises(tf.errors.OpError, match="Checksum does not match"):
            tf.train.load_checkpoint(str(written / "m.ckpt")).get_tensor(damaged)
        assert check(written / "m.ckpt").damaged == (damaged,)
    finally:
        data.write_bytes(whole)


def test_a_saver_restores_the_checkpoint_in_its_own_graph(tf: Any, written: Path, images: np.ndarray) -> None:
    with session(tf) as opened:
        saver = tf.compat.v1.train.import_meta_graph(str(written / "m.ckpt.meta"))
        trained = {variable.op.name for variable in tf.compat.v1.trainable_variables()}
        assert trained == set(recorded(SMALL).recipe["trainable"])
        opened.run(tf.compat.v1.global_variables_initializer())
        saver.restore(opened, str(written / "m.ckpt"))
        assert judged(opened.run(LOGITS, {"input:0": images}), SMALL)
        again = saver.save(opened, str(written / "again.ckpt"), write_meta_graph=False, write_state=False)
    first, second = open_checkpoint(written / "m.ckpt"), open_checkpoint(again)
    assert {name: values.tobytes() for name, values in second.items()} == {n: v.tobytes() for n, v in first.items()}


def test_slims_own_graph_takes_the_checkpoint(slim: Any, written: Path, images: np.ndarray) -> None:
    from nets import mobilenet_v1

    tf = slim.tf
    with tf.Graph().as_default(), tf.Session() as opened:
        placeholder = tf.placeholder(tf.float32, [None, 128, 128, 3])
        with slim.layers.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(is_training=False)):
            logits, _ = mobilenet_v1.mobilenet_v1(placeholder, 1001, is_training=False, depth_multiplier=0.25)
        tf.train.Saver().restore(opened, str(written / "m.ckpt"))
        assert judged(opened.run(logits, {placeholder: images}), SMALL)


def test_tensorflow_runs_the_frozen_graph(tf: Any, written: Path, images: np.ndarray) -> None:
    graph = tf.compat.v1.GraphDef.FromString((written / "m.pb").read_bytes())
    with session(tf) as opened:
        tf.import_graph_def(graph, name="")
        assert judged(opened.run(LOGITS, {"input:0": images}), SMALL)
    assert check(written / "m.pb")


@pytest.mark.parametrize(("classes", "channels"), [(5, 3), (1001, 1)])
def test_the_graph_has_the_weights_classes_and_channels(
    tf: Any, torchs: Path, tmp_path: Path, classes: int, channels: int
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(torchs)
    tensors["conv_stem.weight"] = tensors["conv_stem.weight"][:, :channels].contiguous()
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name][:classes].contiguous()
    tuned = tmp_path / "tuned.safetensors"
    save_file(tensors, tuned)
    image = np.random.default_rng(1).uniform(-1, 1, (2, 128, 128, channels)).astype(np.float32)
    from porter import load

    model = load(SMALL, "torch", weights=tuned).eval()
    want = model(torch.from_numpy(image.transpose(0, 3, 1, 2))).detach().numpy()
    for out in ("m.ckpt", "m.pb"):
        port(SMALL, "torch", "tf", checkpoint=tuned, out=tmp_path / out)
    with session(tf) as opened:
        saver = tf.compat.v1.train.import_meta_graph(str(tmp_path / "m.ckpt.meta"))
        saver.restore(opened, str(tmp_path / "m.ckpt"))
        got = opened.run([LOGITS, SOFTMAX], {"input:0": image})
    with session(tf) as opened:
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString((tmp_path / "m.pb").read_bytes()), name="")
        frozen = opened.run([LOGITS, SOFTMAX], {"input:0": image})
    np.testing.assert_allclose(frozen[0], want, atol=1e-4)
    np.testing.assert_allclose(got[0], want, atol=1e-4)
    np.testing.assert_allclose(got[1].sum(1), 1, rtol=1e-5)
    assert got[1].shape == (2, classes)


def test_without_a_head_the_graph_ends_at_the_features(torchs: Path, tmp_path: Path, tf: Any) -> None:
    port(SMALL, "torch", "tf", checkpoint=torchs, out=tmp_path / "m.pb", head=Head(no_head=True))
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / "m.pb").read_bytes())
    assert graph.node[-1].name.startswith("MobilenetV1/Logits/AvgPool_1a")
    assert not any("Conv2d_1c_1x1" in node.name for node in graph.node)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_has_no_graph(tf: Any, torchs: Path, tmp_path: Path, dtype: str) -> None:
    port(SMALL, "torch", "tf", checkpoint=torchs, out=tmp_path / "m.ckpt", save_dtype=dtype)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("m.ckpt.index", "m.ckpt.data-00000-of-00001", "m.ckpt.json")
    }
    reader = tf.train.load_checkpoint(str(tmp_path / "m.ckpt"))
    assert set(reader.get_variable_to_dtype_map().values()) == {tf.dtypes.as_dtype(dtype)}
    for name, values in open_checkpoint(tmp_path / "m.ckpt").items():
        assert np.array_equal(reader.get_tensor(name).astype(np.float32), values.astype(np.float32))
    with pytest.raises(PorterError, match=r"^the original's graph computes in float32, .*: write a \.ckpt$"):
        port(SMALL, "torch", "tf", checkpoint=torchs, out=tmp_path / "m.pb", save_dtype=dtype)


def test_a_model_of_another_size_has_no_graph(torchs: Path, tmp_path: Path) -> None:
    port("mobilenet_v1_0.25_144", "torch", "tf", checkpoint=torchs, out=tmp_path / "m.ckpt")
    assert not (tmp_path / "m.ckpt.meta").exists()
    with pytest.raises(
        PorterError, match=r"for images of 224x224 alone: write a \.ckpt, or port it as mobilenet_v1_0\.25_224$"
    ):
        port("mobilenet_v1_0.25_144", "torch", "tf", checkpoint=torchs, out=tmp_path / "m.pb")


def test_a_frozen_graph_refuses_tensors_that_it_does_not_read(tmp_path: Path) -> None:
    source = seed("nasnet_cifar", tmp_path / "s.ckpt", training=True).out
    with pytest.raises(PorterError, match=r"does not read all of the tensors: write a \.ckpt\n  12 x aux_11"):
        port("nasnet_cifar", "tf", "tf", checkpoint=source, out=tmp_path / "m.pb", aux=True)
    port("nasnet_cifar", "tf", "tf", checkpoint=source, out=tmp_path / "m.ckpt", aux=True)
    assert any(name.startswith("aux_") for name in open_checkpoint(tmp_path / "m.ckpt"))


def test_another_checkpoint_is_not_replaced(small: Path, torchs: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    for _ in range(2):  # the same one is
        port(SMALL, "torch", "tf", checkpoint=torchs, out=out)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(PorterError, match=r"m\.ckpt\.index belongs to another checkpoint already: delete it, or name"):
        port(SMALL, "torch", "tf", checkpoint=torchs, out=out, head=Head(no_head=True))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    index_file(out).unlink()
    port(SMALL, "torch", "tf", checkpoint=torchs, out=out, save_dtype="float16")
    assert not (tmp_path / "m.ckpt.meta").exists()  # it is the other checkpoint's


def test_damage_is_found_in_every_file(written: Path) -> None:
    assert check(written / "m.ckpt")
    assert len(check(written / "m.ckpt").files) == 3
    for name, wanted in (("m.ckpt.index", "m.ckpt.index"), ("m.ckpt.meta", "m.ckpt.meta")):
        whole = (written / name).read_bytes()
        (written / name).write_bytes(b"?" + whole[1:])
        try:
            assert any(wanted in part for part in said_of(written / "m.ckpt"))
        finally:
            (written / name).write_bytes(whole)


def said_of(prefix: Path) -> tuple[str, ...]:
    """Return the damaged parts that a check finds, or the sentence with which it ends."""
    try:
        return check(prefix).damaged
    except PorterError as error:
        return (str(error),)


def test_tensorflow_reads_every_dtype_and_shape(tf: Any, tmp_path: Path) -> None:
    tensors = {name: np.asarray(value) for name, value in every_dtype(tf).items() if not name.startswith("q")}
    bits = tensors.pop("bfloat16").view(np.uint16)
    tensors |= {
        "global_step": np.asarray(41, np.int64),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.asarray(1.5, np.float16),
    }
    prefix = tmp_path / "any.ckpt"
    everything = {**tensors, "bfloat16": bits}
    write_bundle(
        data_file(prefix),
        index_file(prefix),
        (stored(name, everything[name], name == "bfloat16") for name in in_order(everything)),
    )
    reader, ours = tf.train.load_checkpoint(str(prefix)), open_checkpoint(prefix)
    for name, value in tensors.items():
        got = reader.get_tensor(name)
        assert (np.asarray(got).shape, np.asarray(got).dtype) == (value.shape, value.dtype)
        assert np.asarray(got).tobytes() == value.tobytes() == ours[name].tobytes()
    assert reader.get_variable_to_dtype_map()["bfloat16"] == tf.bfloat16
    assert reader.get_tensor("bfloat16").tobytes() == bits.tobytes()
    assert ours["bfloat16"].tobytes() == widen_bfloat16(bits).tobytes()


def test_every_recorded_graph_can_be_saved_and_frozen() -> None:
    """Its variables are resource variables, as a Saver's ops here expect."""
    from porter.catalog.families import golden_path

    for path in golden_path(SMALL).parent.glob("*/golden.json"):
        golden = recorded(path.parent.name)
        if golden.path == golden.shared and golden.graph.is_file():
            assert {node.op for node in golden.load_graph().node} & {"VarHandleOp", "VariableV2"} == {"VarHandleOp"}


def test_memory_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    size, prefix = 1 << 22, tmp_path / "m.ckpt"
    tensors = (stored(f"v{number}", np.full(size // 4, number, np.float32)) for number in range(8))
    tracemalloc.start()
    write_bundle(data_file(prefix), index_file(prefix), tensors)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * size


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small_1.0_224", "nasnet_mobile", "inception_v1", "resnet_v1_50", "resnet_v2_50", "inception_v3"],
)
def test_every_familys_graph_gives_the_goldens_logits(tf: Any, tmp_path: Path, name: str) -> None:
    golden, table = recorded(name), Table.load(find_arch(name).table)
    (op,) = (endpoint.where["tf"] for endpoint in table.endpoints if endpoint.name == table.logits)
    source = seed(name, tmp_path / "s.ckpt").out
    for out in ("m.ckpt", "m.pb"):
        port(name, "tf", "tf", checkpoint=source, out=tmp_path / out)
    images = golden_images(golden.input_size).astype(np.float32)

    def logits(opened: Any) -> np.ndarray:
        graph = opened.graph
        (entry,) = (each.outputs[0] for each in graph.get_operations() if each.type == "Placeholder")
        return np.asarray(opened.run(graph.get_tensor_by_name(f"{op}:0"), {entry: images})).reshape(len(images), -1)

    with session(tf) as opened:
        saver = tf.compat.v1.train.import_meta_graph(str(tmp_path / "m.ckpt.meta"))
        saver.restore(opened, str(tmp_path / "m.ckpt"))
        assert judged(logits(opened), name)
    with session(tf) as opened:
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString((tmp_path / "m.pb").read_bytes()), name="")
        assert judged(logits(opened), name)
