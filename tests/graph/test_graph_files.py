"""Every format of TensorFlow graphs is recognised by content, and damage gives one clear sentence."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

from helpers.graphs import Maker, path_of
from porter import inspect
from porter.errors import FormatError, PorterError
from porter.formats.tensorflow.events import find_event_files, read_events, read_logs, write_graph_event
from porter.formats.tensorflow.source import load_graph, read_graph
from porter.formats.tensorflow.tfrecord import read_records, record
from porter.graph.rewrite.inline import flat
from porter.verbs.inspect import GraphInspection, LogsInspection, open_graph

NAME = "mobilenet_v1_0.25_128"


@pytest.fixture(scope="module")
def graph() -> Any:
    return load_graph(path_of(NAME))


def meta(graph: Any) -> Any:
    wrapped = MetaGraphDef(graph_def=graph)
    wrapped.meta_info_def.tensorflow_version = "1.15.0"
    wrapped.meta_info_def.tags.append("serve")
    return wrapped


def saved_model(wrapped: Any) -> bytes:
    raw = wrapped.SerializeToString()
    size, length = b"", len(raw)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return b"\x08\x01\x12" + size + bytes([length]) + raw


WRITERS = {
    "GraphDef": lambda g: g.SerializeToString(),
    "GraphDef, gzipped": lambda g: gzip.compress(g.SerializeToString()),
    "GraphDef as text": lambda g: text_format.MessageToString(g).encode(),
    "GraphDef as text, gzipped": lambda g: gzip.compress(text_format.MessageToString(g).encode()),
    "MetaGraphDef": lambda g: meta(g).SerializeToString(),
    "MetaGraphDef as text": lambda g: text_format.MessageToString(meta(g)).encode(),
    "SavedModel": lambda g: saved_model(meta(g)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_graph_is_read_whatever_its_file_is_called(graph: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "what.ever"
    path.write_bytes(WRITERS[kind](graph))
    source = read_graph(path)
    assert source.format == f"TensorFlow {kind}"
    assert source.graph == graph
    assert source.wrote == ("1.15.0" if "Meta" in kind or "Saved" in kind else "")
    result = inspect(path)
    assert isinstance(result, GraphInspection)
    assert result.recognised is not None
    assert result.recognised.models == (NAME,)


def test_a_saved_model_as_text_is_read(graph: Any, tmp_path: Path) -> None:
    inner = text_format.MessageToString(meta(graph))
    (tmp_path / "saved_model.pbtxt").write_text(f"saved_model_schema_version: 1\nmeta_graphs {{\n{inner}}}\n")
    assert read_graph(tmp_path).graph == graph


@pytest.mark.parametrize("value", ["type: 3333333333", "i: 1e40", "s: '\\400'"])
def test_a_value_that_does_not_fit_its_field_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "graph.pbtxt"
    path.write_text(f'node {{ name: "a" op: "Const" attr {{ key: "k" value {{ {value} }} }} }}', encoding="utf-8")
    with pytest.raises(FormatError, match=r"graph.pbtxt is not a whole graph in protobuf's text format \(.+\); copy"):
        read_graph(path)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_cut_graph_gives_one_sentence(graph: Any, tmp_path: Path, kind: str, part: float) -> None:
    raw = WRITERS[kind](graph)
    path = tmp_path / "cut.pb"
    path.write_bytes(raw[: int(len(raw) * part)])
    with pytest.raises(PorterError, match=r"cut\.pb.*(empty|whole|unpack|cut off|none of the formats)"):
        inspect(path)


def test_a_file_beyond_2_gb_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "large.pb"
    with path.open("wb") as file:
        file.write(b"\n\x10\n\x05input\x12\x07")
        file.truncate((1 << 31) + 10)  # a sparse file takes no space
    with pytest.raises(FormatError, match=r"large\.pb has 2,147,483,658 bytes, but no TensorFlow graph is above"):
        inspect(path)


# ---- event files
def events(folder: Path) -> Path:
    (path,) = find_event_files(folder)
    return path


def test_tensorflows_event_file_is_read(tf: Any, graph: Any, tmp_path: Path) -> None:
    with tf.Graph().as_default() as built:
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString(graph.SerializeToString()), name="")
        writer = tf.compat.v1.summary.FileWriter(str(tmp_path), built)
        summary = tf.compat.v1.Summary()
        summary.value.add(tag="loss", simple_value=0.5)
        for step in range(3):
            writer.add_summary(summary, step)
        writer.close()
    result = inspect(tmp_path)
    assert isinstance(result, LogsInspection)
    assert result.files[0].tags["loss"].points == 3
    assert result.files[0].tags["loss"].last_value == 0.5
    assert not result.files[0].damage
    assert {graph.name for graph in result.files[0].graphs} == {"graph", "meta graph"}
    assert result.graph is not None
    assert result.graph.analysis.multiply_adds == 13_570_304


def test_tensorflow_2s_writer_and_trace_export_are_read(tf: Any, tmp_path: Path) -> None:
    kernel = tf.Variable(np.zeros((3, 3, 3, 8), np.float32), name="kernel")

    @tf.function
    def step(x: Any) -> Any:
        return tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))

    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        tf.summary.trace_on(graph=True)
        step(tf.zeros((1, 16, 16, 3)))
        tf.summary.trace_export("traced", step=7)
        tf.summary.scalar("accuracy", 0.75, step=7)
    writer.close()
    result = inspect(tmp_path)
    assert isinstance(result, LogsInspection)
    (file,) = result.files
    assert file.tags["accuracy"].last_value == 0.75
    assert file.last_step == 7
    assert result.graph is not None
    analysis = result.graph.analysis
    # A trace receives its variable as an argument without a shape, so the channels are unknown.
    assert [layer.label for layer in analysis.layers] == ["conv relu"]
    assert analysis.layers[0].shape == (1, 8, 8, None)
    assert analysis.paths.inputs == ("x",)
    assert len(analysis.variables) == 1
    assert analysis.multiply_adds is None


def test_torchs_event_file_is_read(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_graph(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()), torch.zeros(1, 3, 8, 8))
        writer.add_scalar("loss", 1.5, 11)
    result = inspect(tmp_path)
    assert isinstance(result, LogsInspection)
    assert result.files[0].tags["loss"].last_value == 1.5
    assert result.graph is not None
    assert any("onv" in op for op in result.graph.analysis.ops)  # PyTorch's ops


def three_records(tmp_path: Path) -> tuple[Path, list[int]]:
    path = tmp_path / "events.out.tfevents.1.host"
    raws = []
    for step in range(3):
        event = Event(step=step, wall_time=float(step))
        event.summary.value.add(tag="loss", simple_value=float(step))
        raws.append(record(event.SerializeToString()))
    path.write_bytes(b"".join(raws))
    return path, [0, len(raws[0]), len(raws[0]) + len(raws[1])]


@pytest.mark.parametrize(
    ("where", "message", "points"),
    [
        (14, "The record at byte {1} does not match its checksum and is left out.", 2),
        (2, "The length at byte {1} does not match its checksum: reading goes on at byte {2}.", 2),
        (9, "The length at byte {1} does not match its checksum: reading goes on at byte {2}.", 2),
    ],
)
def test_damage_is_reported_with_its_offset_and_the_rest_is_read(
    tmp_path: Path, where: int, message: str, points: int
) -> None:
    path, at = three_records(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[at[1] + where] ^= 1
    path.write_bytes(raw)
    found = read_events(path)
    assert found.damage == [message.format(*at)]
    assert found.tags["loss"].points == points
    assert found.tags["loss"].last_value == 2.0


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_cut_event_file_is_read_up_to_its_end(tmp_path: Path, cut: int) -> None:
    path, at = three_records(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    found = read_events(path)
    assert found.damage[0].startswith(f"The file ends within the record at byte {at[2]}")
    assert found.tags["loss"].points == 2


def test_newest_files_come_first_and_an_empty_file_is_not_an_error(tmp_path: Path) -> None:
    three_records(tmp_path)
    (tmp_path / "later").mkdir()
    make = Maker()
    make.conv("conv", make.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 4)
    write_graph_event(tmp_path / "later" / "events.out.tfevents.2.host", make.graph, 99.0)
    (tmp_path / "events.out.tfevents.3.host").write_bytes(b"")
    logs = read_logs(tmp_path)
    assert [file.last_time for file in logs] == [99.0, 2.0, 0.0]
    assert logs[2].damage == ["The file is empty: its writer was not flushed or is still open."]
    assert open_graph(tmp_path).multiply_adds == 8 * 8 * 4 * 27


def test_an_event_file_without_a_graph_says_so(tmp_path: Path) -> None:
    path, _ = three_records(tmp_path)
    assert isinstance(inspect(path), LogsInspection)
    with pytest.raises(PorterError, match="has no graph in its events"):
        open_graph(path)


def test_records_are_those_of_tensorflow(tf: Any, tmp_path: Path) -> None:
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in (0, 1, 1000):
            writer.write(b"x" * size)
    assert [len(found.data) for found in read_records(path.read_bytes())] == [0, 1, 1000]
    assert path.read_bytes() == b"".join(record(b"x" * size) for size in (0, 1, 1000))


def test_eight_bytes_of_data_and_their_checksum_are_no_length(tf: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.tfrecords"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for data in (b"eight by", b"the next one"):
            writer.write(data)
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1  # of the first length
    assert [found.data for found in read_records(bytes(raw))] == [b"", b"the next one"]


def test_tensorboard_opens_the_event_file_that_is_written(graph: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_graph_event(tmp_path / "events.out.tfevents.1.porter", graph, 1.0)
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    assert accumulator.Graph() == graph


# ---- Keras 3
def test_a_saved_model_of_keras_3_is_inlined(tf: Any, tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(8, 3, padding="same", name="c1", use_bias=False)(inputs)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(name="b1")(x))
    x = keras.layers.SeparableConv2D(16, 3, name="s")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="fc")(x))
    model.export(str(tmp_path / "m"), verbose=False)
    analysis = open_graph(tmp_path / "m")
    assert analysis.graph.inlined > 0
    assert sum(v.size for v in analysis.variables.values()) == model.count_params()
    assert analysis.paths.inputs == ("serving_default_image",)
    assert [layer.label for layer in analysis.layers] == [
        "conv 3x3 bn relu6",
        "separable 3x3 bias",
        "global avg pool",
        "dense bias",
        "softmax",
    ]
    assert analysis.multiply_adds == 32 * 32 * 8 * 27 + 30 * 30 * (8 * 9 + 8 * 16) + 16 * 5
    assert {analysis.object_name(name) for name in analysis.variables} != {""}
    assert all(analysis.object_name(name) for name in analysis.variables)


def test_functions_that_call_functions_of_the_same_names_stay_apart(tf: Any, tmp_path: Path) -> None:
    """Two signatures call one function, and it calls another one twice, each time as StatefulPartitionedCall."""

    class Twice(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.factor = tf.Variable([2.0, 3.0], name="factor")

        @tf.function  # type: ignore[untyped-decorator]
        def inner(self, x: Any, shift: Any) -> Any:
            return x * self.factor + shift

        @tf.function  # type: ignore[untyped-decorator]
        def outer(self, x: Any) -> Any:
            for number in range(3):
                with tf.name_scope("block"):
                    x = self.inner(x, tf.constant([float(number + 1), 5.0]))
            return {"y": x}

    module, spec = Twice(), tf.TensorSpec((None, 2), tf.float32, name="x")
    other = tf.function(module.outer)
    signatures = {
        "serving_default": module.outer.get_concrete_function(spec),
        "serve": other.get_concrete_function(spec),
    }
    tf.saved_model.save(module, str(tmp_path / "m"), signatures)
    analysis = open_graph(tmp_path / "m")
    assert analysis.paths.inputs == ("serving_default_x",)
    names = [node.name for node in flat(analysis.graph, analysis.source.graph).node]
    assert len(names) == len(set(names)) == len(analysis.graph.nodes)
    multiplied = [name for name in analysis.paths.path if analysis.graph.nodes[name].op == "Mul"]
    assert len(multiplied) == 3


def test_a_saver_says_which_key_each_variable_gets(tf: Any, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        ones, twos = (v1.get_variable(name, (2,), use_resource=name == "b") for name in ("a", "b"))
        tf.add(ones, twos, name="out")
        saver = v1.train.Saver({"b": ones, "a/ExponentialMovingAverage": twos})
        session.run(v1.global_variables_initializer())
        saver.save(session, str(tmp_path / "m.ckpt"))
    assert read_graph(tmp_path / "m.ckpt.meta").keys == {"a": "b", "b": "a/ExponentialMovingAverage"}


# ---- Several graphs in one file
def small_graph(name: str) -> Any:
    make = Maker()
    make.conv(name, make.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 4)
    return make.graph


def logged(path: Path, *events: tuple[float, int, str]) -> None:
    """Write an event file of graphs: the time and step of each, and its convolution's name."""
    raws = []
    for time, step, name in events:
        event = Event(wall_time=time, step=step, graph_def=small_graph(name).SerializeToString())
        raws.append(record(event.SerializeToString()))
    path.write_bytes(b"".join(raws))


@pytest.mark.parametrize(
    "events",
    [
        ((5.0, 0, "first"), (5.0, 0, "last")),
        ((5.0, 9, "first"), (6.0, 0, "last")),  # the step starts anew
        ((5.0, 0, "first"), (4.0, 0, "last")),  # the clock was set back
    ],
)
def test_the_graph_written_last_is_shown_and_the_others_are_chosen(
    tmp_path: Path, events: tuple[tuple[float, int, str], ...]
) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    logged(path, *events)
    result = inspect(tmp_path)
    assert isinstance(result, LogsInspection)
    assert result.numbers == ((2, 1),)
    assert "last/Conv2D" in open_graph(tmp_path).graph.nodes
    assert "first/Conv2D" in open_graph(path, graph=2).graph.nodes
    assert result.graph is not None
    note = result.graph.analysis.source.notes[0]
    assert f"written last of 2. `port inspect {tmp_path} --graph 2` shows another" in note
    with pytest.raises(PorterError, match="holds 2 graphs: `graph` must be 1 to 2, got 3"):
        inspect(tmp_path, graph=3)


def test_the_graph_written_last_may_be_in_a_file_that_ended_earlier(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    logged(tmp_path / "a" / "events.out.tfevents.1.host", (1.0, 0, "old"), (3.0, 0, "middle"))
    three_records(tmp_path)  # a file without graphs
    logged(tmp_path / "events.out.tfevents.2.host", (2.0, 0, "between"), (9.0, 0, "last"))
    names = [next(n for n in open_graph(tmp_path, graph=at).graph.nodes if "Conv2D" in n) for at in (1, 2, 3, 4)]
    assert names == ["last/Conv2D", "middle/Conv2D", "between/Conv2D", "old/Conv2D"]


def tagged(*tags: str) -> bytes:
    """Return a SavedModel with a graph for each list of tags, whose convolution has their name."""
    raw = b"\x08\x01"
    for listed in tags:
        wrapped = MetaGraphDef(graph_def=small_graph(listed.replace(",", "_") or "none"))
        wrapped.meta_info_def.tags.extend(listed.split(",") if listed else [])
        raw += saved_model(wrapped)[2:]
    return raw


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        (("train", ""), "none"),
        (("train", "serve"), "serve"),
        (("serve", "train"), "serve"),
        (("eval", "serve,gpu"), "serve_gpu"),
        (("train", "eval"), "eval"),
        (("train,serve", "other"), "other"),
        (("train",), "train"),
    ],
)
def test_the_graph_that_is_not_for_training_is_taken(tmp_path: Path, tags: tuple[str, ...], taken: str) -> None:
    (tmp_path / "saved_model.pb").write_bytes(tagged(*tags))
    source = read_graph(tmp_path)
    assert any(node.name == f"{taken}/Conv2D" for node in source.graph.node)
    assert len(source.others) == len(tags) - 1
    for tag in tags:
        chosen = read_graph(tmp_path, tag=",".join(reversed(tag.split(","))))
        assert any(node.name == f"{tag.replace(',', '_') or 'none'}/Conv2D" for node in chosen.graph.node)


def test_a_tag_that_no_graph_has_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(tagged("train", "serve,gpu", ""))
    with pytest.raises(
        PorterError, match=r'no graph tagged serve: choose `tag="train"` or `tag="gpu,serve"` or `tag=""`'
    ):
        read_graph(tmp_path, tag="serve")
    source = read_graph(tmp_path)
    assert source.path == tmp_path
    assert source.notes == (
        "It holds 3 graphs; this is the one tagged gpu,serve. "
        f"`port inspect {tmp_path}/saved_model.pb --tag train` shows another: tagged train, without tags.",
    )


def test_a_saved_model_as_text_has_tags_too(tmp_path: Path) -> None:
    metas = []
    for tag in ("train", "serve"):
        wrapped = MetaGraphDef(graph_def=small_graph(tag))
        wrapped.meta_info_def.tags.append(tag)
        metas.append(f"meta_graphs {{\n{text_format.MessageToString(wrapped)}}}\n")
    (tmp_path / "saved_model.pbtxt").write_text(f"saved_model_schema_version: 1\n{''.join(metas)}", encoding="utf-8")
    assert read_graph(tmp_path).tags == ("serve",)
    assert read_graph(tmp_path, tag="train").tags == ("train",)


@pytest.mark.parametrize("kind", ["GraphDef", "GraphDef as text", "MetaGraphDef"])
def test_a_tag_or_a_number_needs_several_graphs(graph: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(WRITERS[kind](graph))
    with pytest.raises(PorterError, match="is a single graph, and `tag` chooses among the graphs of a SavedModel"):
        read_graph(path, tag="serve")
    with pytest.raises(PorterError, match="is no event file, and `graph` chooses among the graphs of event files"):
        read_graph(path, graph=1)
