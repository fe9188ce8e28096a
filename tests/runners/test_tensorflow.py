"""TensorFlow as the reference: freezing, widening to float64, pruning, and what is not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import Saver, seeded_variables, training_checkpoint
from porter import verify
from porter.catalog.goldens import recorded
from porter.errors import FormatError
from porter.formats.tensorflow.graphdef import parse_graph
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite import weights_apart
from porter.graph.rewrite.freeze import freeze
from porter.graph.rewrite.prune import prune
from porter.graph.rewrite.safety import check_ops
from porter.graph.rewrite.widen import shortest
from porter.mapping.table import Table
from porter.parity.compare import compare
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.runner import run_all
from porter.runners.tensorflow import TFRunner

NAME = "mobilenet_v1_0.25_128"
TABLE = Table.load("mobilenet_v1")


def frozen(golden: str = NAME) -> Any:
    return freeze(recorded(golden).load_graph(), seeded_variables(golden))


@pytest.mark.parametrize("golden", [NAME, "mobilenet_v1_0.25_128@225"])
def test_the_recorded_graph_frozen_and_widened_gives_the_golden(tf: Any, golden: str) -> None:
    """Fused batch norm opened and epsilon taken as 0.001, the graph computes what slim does in float64."""
    found = recorded(golden)
    reference, images = GoldenRunner(found, TABLE), golden_images(found.input_size)
    runner = TFRunner(frozen(golden), TABLE, "frozen.pb")
    got = {p: reference.probes.reduce(run) for p, run in run_all(runner, images).items()}
    report = compare(got, run_all(reference, images), TABLE.logits)
    assert report, str(report)
    assert len(report.rows) == 30
    assert max(row.exact for row in report.rows) < 1e-13


def test_large_weights_are_fed_and_change_nothing(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images = golden_images(128)[:1]
    fed = TFRunner(frozen(), TABLE, "frozen.pb")
    assert all(values.size >= weights_apart.MANY for values in fed.weights.values())
    assert sum(values.size for values in fed.weights.values()) > 450_000  # of 470,000
    monkeypatch.setattr(weights_apart, "MANY", 1 << 30)
    constant = TFRunner(frozen(), TABLE, "frozen.pb")
    assert not constant.weights
    assert fed.graph.ByteSize() < constant.graph.ByteSize() / 10
    got, want = (run_all(runner, images) for runner in (fed, constant))
    assert all(np.array_equal(got["float64"][name], value) for name, value in want["float64"].items())
    assert compare(got, want, TABLE.logits)


def test_a_large_constant_of_a_branch_is_not_fed(tf: Any) -> None:
    """A fed tensor comes from outside of every loop and condition."""
    graph = frozen()
    waiting = next(node for node in graph.node if node.name.endswith("Conv2d_2_pointwise/weights"))
    waiting.input.append(f"^{next(node.name for node in graph.node if node.op == 'Placeholder')}")
    assert waiting.name not in TFRunner(graph, TABLE, "frozen.pb").weights


def test_an_op_with_a_list_of_types_is_widened_too(tf: Any) -> None:
    """IdentityN stands around every op that has a gradient of its own."""
    graph = frozen()
    first = next(node for node in graph.node if node.op == "Conv2D")
    around = graph.node.add(name="around", op="IdentityN", input=first.input)
    around.attr["T"].list.type.extend([1, 1])
    first.input[:] = ["around:0", "around:1"]
    images = golden_images(128)[:1].astype(np.float64)
    got, want = (TFRunner(g, TABLE, "frozen.pb")(images) for g in (graph, frozen()))
    assert np.array_equal(got["Logits"], want["Logits"])


def test_a_scalar_is_the_decimal_that_was_written() -> None:
    assert shortest(float(np.float32(0.001))) == 0.001
    assert float(np.float32(0.001)) != 0.001


@pytest.mark.parametrize("training", [True, False])
def test_a_checkpoint_is_verified_on_the_recorded_graph(tf: Any, save: Saver, training: bool) -> None:
    tensors = training_checkpoint() if training else seeded_variables()
    result = verify(NAME, checkpoint=save(tensors))
    assert result, str(result.ports)
    assert "filled by its own reader of model.ckpt" in result.reference
    assert len(result.images) == 3


def test_a_checkpoint_of_other_classes_is_verified_too(tf: Any, save: Saver) -> None:
    tensors = seeded_variables()
    for leaf, axis in (("weights", 3), ("biases", 0)):
        name = f"MobilenetV1/Logits/Conv2d_1c_1x1/{leaf}"
        tensors[name] = np.take(tensors[name], range(5), axis)
    result = verify(NAME, checkpoint=save(tensors))
    assert result
    assert result.images[0].ports["torch"][0][0].startswith("class ")


@pytest.mark.parametrize(("stated", "fixed"), [(1, False), (2, True), (1, True), (32, True)])
def test_a_fixed_batch_is_filled_up_where_the_graph_computes_with_it(tf: Any, stated: int, fixed: bool) -> None:
    """A constant Reshape to (32, 1001) needs 32 images; a placeholder's batch alone does not."""
    graph = frozen()
    nodes = {node.name: node for node in graph.node}
    nodes["input"].attr["shape"].shape.dim[0].size = stated
    if fixed:
        shape = nodes["MobilenetV1/Predictions/Shape"]
        shape.Clear()
        shape.CopyFrom(tf_constant(tf, "MobilenetV1/Predictions/Shape", [stated, 1001]))
    images = golden_images(128).astype(np.float64)
    runner = TFRunner(graph, TABLE, "frozen.pb")
    got, want = runner(images), TFRunner(frozen(), TABLE, "frozen.pb")(images)
    assert runner.batch == (stated if fixed else None)
    for name, values in want.items():
        assert got[name].shape == values.shape
        np.testing.assert_allclose(got[name], values, rtol=0, atol=1e-12)


def tf_constant(tf: Any, name: str, value: list[int]) -> Any:
    """Return a Const node as tensorboard's message."""
    with tf.Graph().as_default() as graph:
        tf.constant(value, tf.int32, name=name)
    return type(frozen()).FromString(graph.as_graph_def().SerializeToString()).node[0]


def test_pruning_leaves_out_what_the_logits_do_not_need(tf: Any) -> None:
    graph = frozen()
    graph.node.add(name="stranger", op="WriteFile", input=["a", "b"])
    assert len(TFRunner(graph, TABLE, "frozen.pb").graph.node) == len(graph.node) - 1


@pytest.mark.parametrize("op", ["WriteFile", "ReadFile", "SaveV2", "PyFunc", "PartitionedCall", "SomeCustomOp"])
def test_an_op_that_could_touch_the_machine_is_named_and_refused(tf: Any, op: str) -> None:
    graph = frozen()
    graph.node.add(name="intruder", op=op)
    next(n for n in graph.node if n.op == "Relu6").input.append("^intruder")
    with pytest.raises(FormatError, match=rf"strange.pb is not run: 1 of the nodes .*\n  {op} at intruder"):
        TFRunner(graph, TABLE, "strange.pb")


@pytest.mark.parametrize(
    ("op", "does"),
    [
        ("ReadFile", "read or write files"),
        ("WholeFileReaderV2", "read or write files"),
        ("TFRecordDatasetV2", "read or write files"),
        ("SaveV2", "read or write files"),
        ("RestoreV2", "read or write files"),
        ("InitializeTableFromTextFileV2", "read or write files"),
        ("Recv", "use the network"),
        ("RpcCall", "use the network"),
        ("PyFunc", "run code from outside the graph"),
        ("EagerPyFunc", "run code from outside the graph"),
        ("RandomUniform", "draw random numbers"),
        ("StatelessRandomUniformV2", "draw random numbers"),
        ("QueueDequeueManyV2", "take tensors from a queue or an iterator"),
        ("RandomShuffleQueueV2", "take tensors from a queue or an iterator"),
        ("IteratorGetNext", "take tensors from a queue or an iterator"),
        ("Enter", "loop"),
        ("TensorArrayReadV3", "loop"),
        ("StatefulPartitionedCall", "call functions that porter does not open"),
        ("ReadVariableOp", "hold state between runs"),
        ("SomeCustomOp", "are not known as pure tensor ops"),
    ],
)
def test_what_an_op_does_is_said_as_it_is(op: str, does: str) -> None:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    graph.node.add(name="here", op=op)
    with pytest.raises(
        FormatError, match=rf"x.pb is not run: 1 of the nodes .* are not pure tensor ops: they {does}; "
    ):
        check_ops(graph, "x.pb")


def test_only_ops_that_could_touch_the_machine_need_trust() -> None:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    for op in (
        "ReverseV2",
        "DecodeJpeg",
        "DecodePng",
        "ResizeArea",
        "AdjustContrastv2",
        "Assert",
        "Merge",
        "Dequantize",
    ):
        graph.node.add(name=op, op=op)
    check_ops(graph, "x.pb")
    graph.node.add(name="dropout", op="RandomUniform")
    with pytest.raises(FormatError, match="set `trust_graph=True` to run them all the same:") as caught:
        check_ops(graph, "x.pb")
    assert "file" not in str(caught.value)
    assert "network" not in str(caught.value)


def test_the_listed_ops_exist_and_have_no_side_effects(tf: Any) -> None:
    from tensorflow.python.framework import op_def_registry

    from porter.graph.rewrite.safety import CHECKS, PURE_OPS

    for name in PURE_OPS:
        definition = op_def_registry.get(name)
        assert definition is not None, name
        assert not definition.is_stateful, name
    for name in CHECKS:
        assert not op_def_registry.get(name).output_arg or name == "CheckNumerics"


def test_a_graph_that_lacks_a_node_is_refused(tf: Any) -> None:
    graph = load_graph(recorded(NAME).graph)
    graph.node[-1].input.append("^gone")
    with pytest.raises(FormatError, match=r"cut.pb has no node gone, which others need; copy or download it again"):
        prune(graph, [graph.node[-1].name], "cut.pb")


def test_a_graph_of_another_network_is_refused(tf: Any) -> None:
    graph = load_graph(recorded(NAME).graph)
    with pytest.raises(FormatError, match=r"has no node MobilenetV1/Logits/SpatialSqueeze, the logits"):
        TFRunner(prune(graph, ["MobilenetV1/MobilenetV1/Conv2d_0/Relu6"], "half.pb"), TABLE, "half.pb")
    with pytest.raises(FormatError, match=r"274 of the nodes .*\n  ReadVariableOp at"):
        check_ops(graph, "unfrozen.pb")


def test_images_of_another_size_are_one_sentence(tf: Any) -> None:
    runner = TFRunner(frozen(), TABLE, "frozen.pb")
    with pytest.raises(
        FormatError, match=r"frozen.pb takes images of 128x128, not 64x64: name the model of that input size"
    ):
        runner(np.zeros((1, 64, 64, 3), np.float32))


def test_tensors_of_the_originals_names_in_another_format_fill_its_graph(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "original.safetensors"
    save_file(seeded_variables(), path)
    result = verify(NAME, checkpoint=path)
    assert result
    assert result.reference.endswith("running the original graph, filled by porter's reader of original.safetensors")


def test_other_messages_are_not_graphs() -> None:
    assert parse_graph(b"") is None
    assert parse_graph(b"\n\x05hello") is None
