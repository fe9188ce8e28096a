"""Large, unusual and damaged graphs give an answer or one clear sentence."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers import fuzz_readers
from helpers.graphs import Maker, analysed
from inspect_graphs import chain
from porter import graph
from porter.cli.main import main
from porter.graph.analysis.first_steps import first_steps
from porter.graph.shape_inference import RULES
from porter.render.graph_facts import graph_facts
from porter.verbs.inspect import GraphInspection, inspect, inspect_graph


@pytest.mark.slow
def test_a_hundred_thousand_nodes_are_described(tmp_path: Path) -> None:
    path = tmp_path / "large.pb"
    path.write_bytes(chain(100_000).SerializeToString())
    result = inspect(path)
    assert isinstance(result, GraphInspection)
    assert len(result.analysis.graph.nodes) >= 100_000
    assert result.analysis.multiply_adds == 14 * 14 * 8 * 72 * result.analysis.ops["Conv2D"]
    assert result.analysis.groups[0].times == 50


@pytest.mark.slow
def test_a_hundred_thousand_nodes_without_scopes_are_described() -> None:
    make = Maker()
    x = make.placeholder("input", -1, 8)
    for number in range(50_000):
        x = make("Relu", f"r{number}", make("Neg", f"n{number}", x))
    analysis = analysed(make.graph)
    assert len(analysis.layers) == 50_000
    assert analysis.groups[0].times == 50_000


def test_the_cycle_of_a_while_loop_is_read(tf: Any) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, (None, 4), name="x")
        matrix = v1.get_variable("matrix", (4, 4), use_resource=False)
        _, y = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.linalg.matmul(y, matrix)), (0, x))
        tf.nn.softmax(y, name="out")
        v1.enable_control_flow_v2()
        proto = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    assert any(node.op == "NextIteration" for node in proto.node)
    analysis = analysed(proto)
    assert analysis.paths.outputs == ("out",)
    assert analysis.shapes.of("out") == (1, 4)
    assert analysis.multiply_adds == 3 * 16  # the condition says how often the body runs: i < 3
    assert inspect_graph(analysis).as_dict()["inputs"][0]["name"] == "x"


@pytest.mark.parametrize("newer", [False, True])
def test_a_loop_over_a_batchs_images(tf: Any, newer: bool) -> None:
    """The exporter of TensorFlow's detectors resizes images one by one; the height is no batch."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        (v1.enable_control_flow_v2 if newer else v1.disable_control_flow_v2)()
        images = v1.placeholder(tf.uint8, (None, None, None, 3), name="image_tensor")
        size = lambda image: tf.shape(image)[:2] * 2  # noqa: E731
        one = lambda image: tf.squeeze(tf.image.resize(image[None], size(image)), 0)  # noqa: E731
        resized = tf.map_fn(one, tf.cast(images, tf.float32), fn_output_signature=tf.float32)
        matrix = v1.get_variable("weights", (3, 3, 3, 8), use_resource=False)
        tf.nn.conv2d(resized * (2 / 255) - 1, matrix, 1, "SAME", name="conv")
        v1.enable_control_flow_v2()
        proto = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    analysis = analysed(proto)
    assert analysis.shapes.of("conv") == (1, None, None, 8)
    steps = first_steps(analysis)
    assert steps is not None
    assert steps.sentence == (
        "in [0, 255], which the graph takes to [-1, 1]: it resizes images, multiplies by 0.00784314, subtracts 1"
    )


def test_a_detectors_data_decides_how_many_boxes_it_looks_at() -> None:
    """--size tells the work of the first stage alone, so that the line says what the second waits for."""
    make = Maker()
    x = make.placeholder("x", -1, -1, -1, 3)
    features = make("Conv2D", "first", x, make.weights("a", 3, 3, 3, 8), strides=[1, 2, 2, 1], padding="SAME")
    boxes, scores = make.placeholder("boxes", 100, 4), make.placeholder("scores", 100)
    kept = make("NonMaxSuppressionV3", "nms", boxes, scores, make.ints("most", 20, rank=0))
    found = make("GatherV2", "kept", boxes, kept, make.ints("axis", 0, rank=0))
    crops = make("CropAndResize", "crops", features, found, make.ints("of", 0), make.ints("crop", 7, 7))
    make("Conv2D", "second", crops, make.weights("b", 3, 3, 8, 8), strides=[1, 1, 1, 1], padding="SAME")
    said = "the data decides how many boxes nms (NonMaxSuppressionV3) finds, which are the batch of second"
    analysis = analysed(make.graph)
    assert analysis.shapes.of("second") == (None, 7, 7, 8)
    first = "multiply-adds unknown: the shape of first is unknown; `port inspect "
    work = dict(graph_facts(analysis))["work"]
    assert work.startswith(first)
    assert work.endswith(said)
    assert dict(graph_facts(analysed(make.graph, 64)))["work"] == f"221,184 multiply-adds at least: {said}"


def test_a_cycle_a_missing_input_and_a_repeated_name_are_reported() -> None:
    make = Maker()
    make("AddV2", "a", "b", "absent:3")
    make("Relu", "b", "a")
    make("Relu", "b", "b")
    result = inspect_graph(analysed(make.graph)).as_dict()
    assert result["missing_inputs"] == ["absent"]
    assert result["repeated_names"] == ["b"]


def test_a_recursive_function_stays_a_call() -> None:
    make = Maker()
    x = make.placeholder("x", 1, 4)
    call = make.graph.node.add(name="call", op="PartitionedCall", input=[x])
    call.attr["f"].func.name = "again"
    function = make.graph.library.function.add()
    function.signature.name = "again"
    function.signature.input_arg.add(name="y")
    function.signature.output_arg.add(name="z")
    inner = function.node_def.add(name="inner", op="PartitionedCall", input=["y"])
    inner.attr["f"].func.name = "again"
    function.ret["z"] = "inner:output:0"
    analysis = analysed(make.graph)
    assert [node.op for node in analysis.graph.nodes.values()] == ["Placeholder", "PartitionedCall"]


def test_inlining_stops_before_a_graph_grows_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    x = make.placeholder("x", 1, 4)
    call = make.graph.node.add(name="call", op="PartitionedCall", input=[x])
    call.attr["f"].func.name = "f30"
    for depth in range(31):  # each calls the one below it twice, which makes 2 ** 30 leaves
        function = make.graph.library.function.add()
        function.signature.name = f"f{depth}"
        function.signature.input_arg.add(name="y")
        function.signature.output_arg.add(name="z")
        if depth:
            for name, source in (("a", "y"), ("b", "a:output:0")):
                inner = function.node_def.add(name=name, op="PartitionedCall", input=[source])
                inner.attr["f"].func.name = f"f{depth - 1}"
        else:
            function.node_def.add(name="b", op="Relu", input=["y"])
        function.ret["z"] = "b:output:0"
    from porter.graph import functions
    from porter.graph.functions import build_graph

    monkeypatch.setattr(functions, "_MOST_NODES", 5_000)  # in place of 400,000, which take half a minute
    assert 1_000 < len(build_graph(make.graph).nodes) <= 5_000


def test_loops_in_loops_stop_before_a_graph_grows_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each body holds two loops whose body is the one below it: 2 ** 30 in all."""
    make = Maker()
    loop = make.graph.node.add(name="loop", op="While", input=[make.placeholder("x", 1, 4)])
    loop.attr["cond"].func.name, loop.attr["body"].func.name = "going", "f30"
    for depth in range(-1, 31):
        function = make.graph.library.function.add()
        function.signature.name = f"f{depth}" if depth >= 0 else "going"
        function.signature.input_arg.add(name="y")
        function.signature.output_arg.add(name="z")
        function.ret["z"] = "b:output:0"
        if depth < 1:
            function.node_def.add(name="b", op="Relu", input=["y"])
        for name, source in (("a", "y"), ("b", "a:output:0")) if depth > 0 else ():
            inner = function.node_def.add(name=name, op="While", input=[source])
            inner.attr["cond"].func.name, inner.attr["body"].func.name = "going", f"f{depth - 1}"
    from porter.graph import functions
    from porter.graph.functions import build_graph

    monkeypatch.setattr(functions, "_MOST_NODES", 4000)
    assert 2000 < len(build_graph(make.graph, lowers=lambda _: True).nodes) < 5000


@pytest.mark.parametrize("part", ["cond", "body", "an input", "an output"])
def test_a_loop_whose_functions_do_not_fit_stays_one_op(part: str) -> None:
    graph = GraphDef.FromString(fuzz_readers.loop_seeds()[0])
    loop = next(node for node in graph.node if node.op == "While")
    step = next(function for function in graph.library.function if function.signature.name == "step")
    if part == "an input":
        loop.input.pop()
    elif part == "an output":
        step.ret.pop("z")
    else:
        loop.attr[part].func.name = "missing"
    analysis = analysed(graph)
    assert "While" in analysis.ops
    assert analysis.multiply_adds is None


def test_names_with_thousands_of_scopes_are_read() -> None:
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 4)
    for number in range(400):
        x = make("Relu", "/".join(["s"] * number + [f"relu{number}"]), make("Neg", "/".join(["s"] * number + ["n"]), x))
    make.conv("/".join(["s"] * 5000), x, 3, 3, 4, 4)
    assert inspect_graph(analysed(make.graph)).as_dict()["multiply_adds"] == 8 * 8 * 4 * 36


def test_an_op_that_claims_endless_outputs_is_read() -> None:
    make = Maker()
    make("Unpack", "many", make.placeholder("x", 4, 4), num=1 << 40)
    assert inspect_graph(analysed(make.graph)).as_dict()["nodes"] == 2


def test_unknown_ops_are_ordinary_nodes() -> None:
    make = Maker()
    x = make.placeholder("x", -1, 8, 8, 3)
    x = make("MyCompany>Blur", "blur", x)
    make("SSTableReaderV2", "reader")
    x = make.conv("conv", x, 3, 3, 3, 8)
    result = inspect_graph(analysed(make.graph)).as_dict()
    assert result["ops"]["MyCompany>Blur"] == 1
    assert result["multiply_adds"] is None
    assert [block["name"] for block in result["blocks"]] == ["blur", "conv"]


def test_quantization_nodes_are_named() -> None:
    make = Maker()
    x = make.placeholder("x", -1, 8, 8, 3)
    make("FakeQuantWithMinMaxArgs", "act_quant/FakeQuant", make.conv("conv", x, 3, 3, 3, 8))
    analysis = analysed(make.graph)
    assert analysis.quantizing == {"act_quant/FakeQuant": "FakeQuantWithMinMaxArgs"}


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    from porter.errors import PorterError

    path = tmp_path_factory.mktemp("any") / "any.pb"
    for start in (b"", b"\n", b"\x08\x01\x12", b"node {", b"\x1f\x8b"):
        path.write_bytes(start + raw)
        with suppress(PorterError):  # any other exception fails the test
            inspect(path)


NAMES = ["\x1b[31mred", "a b\nc", "日本/語", "[bold]x[/bold]", "../../etc", "{x}", "\u202eevil", "'quoted'"]
VIEWS = [(), ("--depth", "1"), ("--find", "."), ("--json",), ("--find", ".", "--json")]


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
def test_no_name_can_steer_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], view: tuple[str, ...]
) -> None:
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 4)
    for name in NAMES:
        x = make.conv(name, x, 3, 3, 4, 4)
    path = tmp_path / "names.pb"
    path.write_bytes(make.graph.SerializeToString())
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(path), *view])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "\x1b" not in out
    if "--find" in view:
        assert "[bold]x[/bold]" in out
    assert "\u202e" not in out
    if "--json" in view:
        json.loads(out)


@pytest.mark.parametrize("view", ["--scope", "--find", "--diff", "--write-table", "--html", "--svg", "--tensorboard"])
def test_every_view_of_a_checkpoint_is_an_answer_or_one_sentence(
    save: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], view: str
) -> None:
    import numpy as np

    prefix = save({"a/weights": np.zeros((3, 3, 4, 4), np.float32)})
    names = {"--html": "page.html", "--svg": "blocks.svg", "--tensorboard": "logs"}
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(prefix), view, str(tmp_path / names.get(view, "out.toml"))])
    out, err = capsys.readouterr()
    if view == "--write-table":
        assert ended.value.code == 0
        assert "covers 1 variable" in out
    else:
        assert ended.value.code == 2
        assert err.startswith("port: ")
        assert "graph" in err
        assert "Traceback" not in err


OP = re.compile(r"\b[A-Z][A-Za-z0-9]{2,}\b")
FOLDER = Path(graph.__path__[0])
OPS = sorted({op for path in FOLDER.rglob("*.py") for op in OP.findall(path.read_text(encoding="utf-8"))})


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [(), ("x",), ("x", "c"), ("c", "x"), ("c",)], ids=str)
def test_ops_that_lack_inputs_or_have_others(tmp_path: Path, inputs: tuple[str, ...]) -> None:
    """Every op that porter.graph names, with inputs of shapes that it does not accept."""
    assert len(RULES) > 150
    assert {op for op in RULES if not op.startswith("_")} <= set(OPS)
    for ops in (OPS[at : at + 10] for at in range(0, len(OPS), 10)):
        graph = GraphDef()
        graph.node.add(name="x", op="Placeholder").attr["shape"].shape.dim.add(size=3)
        constant = graph.node.add(name="c", op="Const")
        constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = 3
        constant.attr["value"].tensor.tensor_shape.dim.add(size=3)
        constant.attr["value"].tensor.int_val.extend([1, 2, 3])
        for op in ops:
            graph.node.add(name=f"y/{op}", op=op, input=inputs)
            graph.node.add(name=f"z/{op}", op="Relu", input=[f"y/{op}"])
        (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
        assert inspect(tmp_path / "graph.pb").as_dict()["kind"] == "graph", ops


@pytest.mark.parametrize("op", ["AvgPool", "MaxPool", "Conv2D", "Conv2DBackpropInput"])
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_a_channels_first_op_on_a_tensor_without_that_axis_is_read(op: str, rank: int) -> None:
    make = Maker()
    x = make.placeholder("x", *[4] * rank)
    y = make.ints("y", *[4] * 2)
    inputs = (y, x, x) if op == "Conv2DBackpropInput" else (x, y)
    make(op, "window", *inputs, data_format="NCHW", padding="SAME", ksize=[1] * rank, strides=[1] * rank)
    assert inspect_graph(analysed(make.graph)).as_dict()["ops"][op] == 1
