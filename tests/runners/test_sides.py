"""Any two sides: live graphs of every form, files, goldens and somebody else's network."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import Saver, seeded_variables, training_checkpoint
from porter import port, verify
from porter.catalog.goldens import recorded
from porter.cli.main import main
from porter.errors import FormatError, PorterError
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite.freeze import freeze
from porter.graph.rewrite.prune import prune
from porter.mapping.table import Table
from porter.parity.compare_runs import Settings
from porter.runners.golden import golden_images
from porter.runners.images import sample_paths

MODEL = "mobilenet_v1_0.25_128"
TABLE = Table.load("mobilenet_v1")
ONE = [sample_paths()[1]]
QUICK = Settings(precision="float64")


def imported(tf: Any) -> Any:
    """The recorded graph as a graph of TensorFlow's own."""
    graph = tf.Graph()
    with graph.as_default():
        raw = load_graph(recorded(MODEL).graph).SerializeToString()
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(raw), name="")
    return graph


def write_graph(tf: Any, form: str, folder: Path) -> Path:
    """Write the unfrozen graph with TensorFlow's own writers."""
    graph = imported(tf)
    path = folder / f"graph{form}"
    if form in (".pb", ".pbtxt"):
        tf.io.write_graph(graph, str(folder), path.name, as_text=form == ".pbtxt")
    elif form in (".meta", ".meta.txt"):
        with graph.as_default():
            tf.compat.v1.train.export_meta_graph(str(path), as_text=form == ".meta.txt")
    else:
        from tensorflow.core.protobuf import saved_model_pb2

        path.mkdir()
        saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
        with graph.as_default():
            tf.no_op("loaded")  # what TensorFlow runs when it loads the model
            meta = tf.compat.v1.train.export_meta_graph()
        meta.collection_def["saved_model_main_op"].node_list.value.append("loaded")
        saved.meta_graphs.add().CopyFrom(meta)
        (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    return path


@pytest.mark.parametrize("form", [".pb", ".pbtxt", ".meta", ".meta.txt", ""])
def test_a_graph_of_any_form_is_filled_with_the_checkpoint(tf: Any, save: Saver, tmp_path: Path, form: str) -> None:
    graph, prefix = write_graph(tf, form, tmp_path), save(training_checkpoint())
    result = verify(MODEL, checkpoint=prefix, graph=graph, images=ONE, settings=QUICK)
    assert result, str(result.ports)
    assert len(result.ports["torch"].rows) == 30
    assert result.reference.endswith(f"running {graph.name}, filled by its own reader of model.ckpt")
    # The averages are what a port takes, and so what the graph gets; the raw values are 1 % off.
    assert not verify(
        MODEL, graph=graph, checkpoint=prefix, candidate=str(ported(save, tmp_path)), images=ONE, settings=QUICK
    )


def test_a_graph_is_filled_with_a_v1_checkpoint_by_tensorflow_too(tf: Any, tmp_path: Path) -> None:
    v1, path = tf.compat.v1, tmp_path / "model-v1.ckpt"
    with v1.Graph().as_default(), v1.Session() as session:
        variables = {name: v1.Variable(value, name=name) for name, value in seeded_variables().items()}
        session.run(v1.global_variables_initializer())
        v1.train.Saver(variables, write_version=v1.train.SaverDef.V1).save(session, str(path), write_meta_graph=False)
    result = verify(MODEL, checkpoint=path, graph=write_graph(tf, ".pb", tmp_path), images=ONE, settings=QUICK)
    assert result, str(result.ports)
    assert result.reference.endswith("running graph.pb, filled by its own reader of model-v1.ckpt")


def test_values_that_a_graphs_dtype_cannot_hold_are_refused(tf: Any, save: Saver, tmp_path: Path) -> None:
    """The user's graph and the recorded one are filled alike: float64 and half fit where float32 holds the values."""
    graph = write_graph(tf, ".pb", tmp_path)
    wide = {name: value.astype(np.float64) for name, value in seeded_variables().items()}
    half = {name: value.astype(np.float16) for name, value in seeded_variables().items()}
    for number, tensors in enumerate((wide, half)):
        prefix = save(tensors, f"fits{number}.ckpt")
        for path in (None, graph):
            assert verify(MODEL, checkpoint=prefix, graph=path, images=ONE, settings=QUICK)
    name = "MobilenetV1/Conv2d_0/weights"
    prefix = save(wide | {name: wide[name] + 1e-12}, "finer.ckpt")
    for path in (None, graph):
        with pytest.raises(
            PorterError, match=rf"finer.ckpt: {name} holds float64 values that do not fit the float32 of the original"
        ):
            verify(MODEL, checkpoint=prefix, graph=path, images=ONE, settings=QUICK)


def test_a_graph_of_another_model_is_refused(tf: Any, save: Saver, tmp_path: Path) -> None:
    graph = load_graph(recorded(MODEL).graph)
    for node in graph.node:
        node.name = node.name.replace("Conv2d_0/weights", "Conv2d_0/kernel")
        node.input[:] = [name.replace("Conv2d_0/weights", "Conv2d_0/kernel") for name in node.input]
    path = tmp_path / "other.pb"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(PorterError, match="its variable MobilenetV1/Conv2d_0/kernel does not belong to mobilenet_v1"):
        verify(MODEL, checkpoint=save(seeded_variables()), graph=path, images=ONE)


def ported(save: Saver, folder: Path, target: str = "torch", suffix: str = ".safetensors") -> str:
    """Return the spec of a side: the seeded weights, ported."""
    out = folder / f"port{suffix}"
    port(MODEL, target=target, checkpoint=save(seeded_variables(), "seeded.ckpt"), out=out)
    return f"{target}:{out}"


def test_a_saved_model_brings_its_own_variables(tf: Any, save: Saver, tmp_path: Path) -> None:
    folder = write_graph(tf, "", tmp_path)
    save(seeded_variables(), f"{folder.name}/variables/variables")
    right = ported(save, tmp_path)
    result = verify(MODEL, reference=f"tf:{folder}", candidate=right, images=ONE, settings=QUICK)
    assert result, str(result.ports)


def test_a_graph_without_values_is_told(tf: Any, save: Saver, tmp_path: Path) -> None:
    graph = write_graph(tf, ".pbtxt", tmp_path)
    with pytest.raises(PorterError, match="is not frozen, and its 137 variables need values: give `checkpoint`"):
        verify(MODEL, reference=f"tf:{graph}", candidate=ported(save, tmp_path), images=ONE)
    with pytest.raises(PorterError, match=r"absent.pb does not exist: name a .pb, .pbtxt or .meta file"):
        verify(MODEL, reference="tf:absent.pb", candidate=ported(save, tmp_path))
    (tmp_path / "bad.pbtxt").write_text("node { name: 3 }", encoding="utf-8")
    with pytest.raises(FormatError, match=r"bad.pbtxt is not a whole graph in protobuf"):
        load_graph(tmp_path / "bad.pbtxt")


def test_reference_variables_of_tensorflow_1_are_frozen_too(tf: Any) -> None:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 2], "images")
        variable = tf.compat.v1.get_variable("weights", [2], use_resource=False)
        with tf.compat.v1.colocate_with(variable):
            tf.multiply(images, variable, name="out")
    definition = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    assert "VariableV2" in {node.op for node in definition.node}
    frozen = freeze(prune(definition, ["out"], "graph.pb"), {"weights": np.array([2, 3], np.float32)})
    with tf.Graph().as_default() as imported_graph:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(frozen.SerializeToString()), name="")
        with tf.compat.v1.Session(graph=imported_graph) as session:
            assert session.run("out:0", {"images:0": [[1, 1]]}).tolist() == [[2, 3]]


def test_the_ported_files_of_two_frameworks_agree(save: Saver, tmp_path: Path) -> None:
    left, right = ported(save, tmp_path), ported(save, tmp_path, "keras", ".keras")
    result = verify(MODEL, reference=left, candidate=right, images=ONE)
    assert result, str(result.ports)
    assert result.reference == "port.safetensors in PyTorch"
    assert result.titles == {"keras": "port.keras in Keras"}
    assert [label for label, _ in result.images[0].reference] == [label for label, _ in result.images[0].ports["keras"]]


NETS = """
    import numpy as np
    import porter

    NAME = "mobilenet_v1_0.25_128"


    def build():
        return porter.load(NAME, "torch").train()


    def build_keras():
        return porter.load(NAME, "keras")


    def build_with_weights(weights):
        assert weights["MobilenetV1/Conv2d_0/weights"].shape == (3, 3, 3, 8)
        from porter.catalog.goldens import recorded, seeded_checkpoint
        from porter.mapping.translate import translate

        seeds = seeded_checkpoint(recorded(NAME))
        tensors = translate(seeds, porter.catalog.models.find_arch(NAME), "tf", "torch").as_checkpoint(seeds)
        from porter.nets.build import build

        network = build(porter.catalog.models.find_arch(NAME), "torch", tensors)
        return lambda images: {k: v for k, v in porter.endpoints(NAME, network, images).items()}


    def half(images):
        outputs = build_with_weights({"MobilenetV1/Conv2d_0/weights": np.zeros((3, 3, 3, 8))})(images)
        return {"mine": outputs["Logits"].astype(np.float32), "pool": outputs["AvgPool_1a"].astype(np.float32)}


    def headless():
        import torch

        class Renamed(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inside = build_with_weights_module()

            def forward(self, x):
                return self.inside(x)

        return Renamed()


    def build_with_weights_module():
        from porter.nets.build import build
        from porter.catalog.goldens import recorded, seeded_checkpoint
        from porter.mapping.translate import translate

        seeds = seeded_checkpoint(recorded(NAME))
        tensors = translate(seeds, porter.catalog.models.find_arch(NAME), "tf", "torch").as_checkpoint(seeds)
        return build(porter.catalog.models.find_arch(NAME), "torch", tensors)


    def without_background():
        network = build_with_weights_module()

        def run(images):
            outputs = porter.endpoints(NAME, network, images)
            return {"Logits": outputs["Logits"][:, 1:], "AvgPool_1a": outputs["AvgPool_1a"]}

        return run


    def fails():
        raise ValueError("no such thing")


    def nonsense(images):
        return images


    def stranger(images):
        return {"x": images}


    def letters(images):
        return {"Logits": np.full((len(images), 1001), "a")}


    def ragged(images):
        return {"Logits": [[0.0], [0.0, 1.0], [0.0]]}


    def subclassed(weights):
        import keras

        class Net(keras.Model):
            def call(self, images):
                return images

        return Net(name="net")


    def sequential(weights):
        import keras

        layers = [keras.layers.GlobalAveragePooling2D(name="mean"), keras.layers.Dense(1001, name="mine")]
        return keras.Sequential([keras.Input((128, 128, 3)), *layers])


    def tensors(images):
        import torch

        return {"mine": torch.zeros(len(images), 1001, dtype=torch.float64, requires_grad=True)}


    def broken(weights):
        import torch

        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7, 1001))
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    path = tmp_path / "nets.py"
    path.write_text(textwrap.dedent(NETS), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("function", ["build", "build_keras", "build_with_weights"])
def test_somebody_elses_network_against_the_golden(nets: str, function: str) -> None:
    result = verify(MODEL, reference="golden", candidate=f"{nets}:{function}")
    report = result.ports[function]
    assert report, str(report)
    assert len(report.rows) == 30
    assert all(row.exact is not None for row in report.rows)
    assert not report.notes


def test_endpoints_go_through_a_users_table(nets: str, tmp_path: Path) -> None:
    table = tmp_path / "table.toml"
    table.write_text('[endpoints]\nLogits = "mine"\nAvgPool_1a = "pool"\n', encoding="utf-8")
    report = verify(MODEL, reference="golden", candidate=f"{nets}:half", endpoint_map=table).ports["half"]
    assert report, str(report)
    assert [row.endpoint for row in report.rows] == ["AvgPool_1a", "Logits", "Predictions"]
    # It answers in float32 whatever it is given, and the report says so.
    assert all(row.exact is None and row.rounding_rms is not None for row in report.rows)
    assert "the candidate has no reliable float64: judged in float32 only" in report.notes[0]


def test_a_module_of_other_names_goes_through_a_dict(save: Saver, nets: str, tmp_path: Path) -> None:
    table = {"Conv2d_0": "inside.bn1", "Logits": "inside.classifier"}
    result = verify(
        MODEL, reference=ported(save, tmp_path), candidate=f"{nets}:headless", endpoint_map=table, images=ONE
    )
    assert result, str(result.ports)
    assert [row.endpoint for row in result.ports["headless"].rows] == ["Conv2d_0", "Logits", "Predictions"]


def test_one_side_without_background_is_compared_in_the_other_classes(save: Saver, nets: str, tmp_path: Path) -> None:
    result = verify(MODEL, reference=ported(save, tmp_path), candidate=f"{nets}:without_background", images=ONE)
    report = result.ports["without_background"]
    assert report, str(report)
    assert "only one side has a background class: the other classes are compared" in report.notes
    (image,) = result.images
    # The same labels on both sides, although their indices are one apart.
    assert [label for label, _ in image.reference] == [label for label, _ in image.ports["without_background"]]


def test_strictness_is_the_runners_and_not_the_names(tmp_path: Path) -> None:
    """A user's function named torch may compute a few endpoints; porter's own network must compute all."""
    path = tmp_path / "few.py"
    path.write_text(
        "from half_nets import half\n\n\ndef torch(images):\n"
        "    outputs = half(images)\n"
        "    return {'Logits': outputs['mine'], 'AvgPool_1a': outputs['pool']}\n",
        encoding="utf-8",
    )
    (tmp_path / "half_nets.py").write_text(textwrap.dedent(NETS), encoding="utf-8")
    result = verify(MODEL, reference="golden", candidate=f"{path}:torch")
    report = result.ports["torch"]
    assert result, str(report)
    assert not report.strict
    assert "Conv2d_0" in report.missing
    assert result.name_of("torch") == "torch"
    ours = verify(MODEL)
    assert ours.ports["torch"].strict
    assert ours.name_of("torch") == "PyTorch"


def test_porters_own_network_must_compute_every_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.runners.torch import TorchRunner

    sound = TorchRunner.__call__

    def without_the_first(self: TorchRunner, images: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values for name, values in sound(self, images).items() if name != "Conv2d_0"}

    monkeypatch.setattr(TorchRunner, "__call__", without_the_first)
    report = verify(MODEL).ports["torch"]
    assert not report
    assert str(report) == "parity is not shown: the port does not compute Conv2d_0"


@pytest.mark.parametrize(
    ("right", "message"),
    [
        ("{nets}:fails", r"fails fails: ValueError: no such thing \(nets.py, line \d+\)"),
        ("{nets}:absent", "has no absent: name one of its functions"),
        ("{nets}:nonsense", r"returns the type ndarray: return \{endpoint: array\}"),
        ("{nets}:stranger", "returns none of the endpoints Conv2d_0"),
        ("{nets}:letters", "letters returns Logits as <U1: return arrays of real numbers"),
        ("{nets}:ragged", "ragged fails: ValueError: setting an array element"),
        ("{nets}:subclassed", "net is a keras.Model without inputs, so its layers cannot be read"),
        ("{nets}:headless", "porter cannot fill this network with the golden's weights"),
        ("absent.py:build", "absent.py does not exist"),
        ("jax:file", "unknown side 'jax:file': choose golden, torch:FILE"),
        ("torch:absent.safetensors", "does not exist"),
    ],
)
def test_a_side_that_cannot_be_had_is_one_sentence(nets: str, right: str, message: str) -> None:
    with pytest.raises(PorterError, match=message):
        verify(MODEL, reference="golden", candidate=right.format(nets=nets))


def test_a_module_that_fails_when_it_is_run_is_one_sentence(nets: str) -> None:
    with pytest.raises(PorterError, match="broken fails: RuntimeError: mat1 and mat2 shapes cannot be multiplied"):
        verify(MODEL, reference="golden", candidate=f"{nets}:broken", endpoint_map={"Logits": "1"})


@pytest.mark.parametrize("function", ["sequential", "tensors"])
def test_endpoints_that_a_user_did_not_name_are_not_called_skipped(nets: str, function: str) -> None:
    report = verify(MODEL, reference="golden", candidate=f"{nets}:{function}", endpoint_map={"Logits": "mine"}).ports[
        function
    ]
    assert not report
    assert report.first_divergence is not None
    assert report.first_divergence.endpoint == "Logits"
    assert "Conv2d_13_pointwise" in report.missing
    assert "skipped" not in str(report)


def test_a_table_of_unknown_names_is_refused(nets: str, tmp_path: Path) -> None:
    with pytest.raises(
        PorterError,
        match=r"`endpoint_map` names Logitz, but .* has no such endpoint; available: Conv2d_0",
    ):
        verify(MODEL, reference="golden", candidate=f"{nets}:half", endpoint_map={"Logitz": "mine"})
    (tmp_path / "t.toml").write_text("[endpoint]", encoding="utf-8")
    with pytest.raises(PorterError, match=r"t.toml has no \[endpoints\]"):
        verify(MODEL, reference="golden", candidate=f"{nets}:half", endpoint_map=tmp_path / "t.toml")


def test_images_and_goldens_exclude_each_other() -> None:
    with pytest.raises(PorterError, match="leave `images` out"):
        verify(MODEL, reference="golden", candidate="golden", images=ONE)
    assert verify(MODEL, reference="golden", candidate="golden")


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_one_and_many_give_the_same_verdict(batch: int) -> None:
    whole, parts = (verify(MODEL, settings=Settings(batch=n)).ports["torch"] for n in (3, batch))
    assert whole
    assert parts
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert other.exact == pytest.approx(one.exact, rel=2, abs=1e-13)
        assert other.cosine == pytest.approx(one.cosine, abs=1e-12)


def test_the_precision_can_be_chosen() -> None:
    exact = verify(MODEL, settings=Settings(precision="float64")).ports["torch"]
    assert exact
    assert all(row.rounding_rms is None and row.exact is not None for row in exact.rows)
    single = verify(MODEL, settings=Settings(precision="float32")).ports["torch"]
    assert single
    assert "float32 alone, within" in str(single)
    assert "smaller differences are not detected" in single.notes[0]
    with pytest.raises(PorterError, match="unsupported precision float16: choose float32 or float64"):
        Settings(precision="float16")


def test_endpoints_are_chosen_by_an_expression() -> None:
    report = verify(MODEL, settings=Settings(endpoints="_pointwise$")).ports["torch"]
    assert len(report.rows) == 13
    assert report
    with pytest.raises(PorterError, match="no endpoint matches 'Cell'; available: Conv2d_0, Conv2d_1_depthwise"):
        verify(MODEL, settings=Settings(endpoints="Cell"))
    with pytest.raises(PorterError, match=r"`endpoints` '\(' is not a regular expression"):
        verify(MODEL, settings=Settings(endpoints="("))


def test_atol_replaces_the_two_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.nets.mobilenet_v1 import torch as mobilenet_v1

    monkeypatch.setattr(mobilenet_v1, "EPSILON", 1.001e-3)
    assert not verify(MODEL)
    report = verify(MODEL, settings=Settings(atol=1e-2)).ports["torch"]
    assert report
    assert "(tolerance 0.01)" in str(report)
    assert not verify(MODEL, settings=Settings(atol=1e-9))


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return ended.value.code, *capsys.readouterr()


def test_images_takes_what_a_shell_pattern_gives(
    tf: Any, save: Saver, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    prefix, images = save(seeded_variables()), sample_paths()
    code, out, _ = run(
        capsys, "verify", MODEL, "--images", *images[:2], "--checkpoint", prefix, "--images", images[2], "--json"
    )
    result = json.loads(out)
    assert code == 0
    assert [image["image"] for image in result["images"]] == [path.name for path in images]
    row = result["ports"]["torch"]["endpoints"][0]
    assert {"largest", "mean", "cosine", "amplification", "exact", "rounding_rms", "ok"} <= row.keys()
    assert len(result["preprocessing"]) == 2


def test_failed_parity_is_1_and_the_last_line_names_the_endpoint(
    nets: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from porter.nets.mobilenet_v1 import torch as mobilenet_v1

    monkeypatch.setattr(mobilenet_v1, "EPSILON", 1e-5)
    code, out, _ = run(capsys, "verify", MODEL, "--reference", "golden", "--candidate", f"{nets}:build")
    assert code == 1
    last = out.splitlines()[-1]
    assert last.startswith("parity fails: Conv2d_0 is the first endpoint that diverges")
    assert "likely cause: a constant factor near 1 for each channel" in last
    assert last.endswith("a batch norm's epsilon")


def test_a_strangers_graph_runs_only_where_it_is_trusted(
    tf: Any, save: Saver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = freeze(load_graph(recorded(MODEL).graph), seeded_variables())
    written = tmp_path / "written.txt"
    from porter.graph.rewrite.freeze import constant

    for name, text in (("file", str(written)), ("text", "here")):
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = 7
        node.attr["value"].tensor.dtype = 7
        node.attr["value"].tensor.tensor_shape.SetInParent()
        node.attr["value"].tensor.string_val.append(text.encode())
    graph.node.add(name="intruder", op="WriteFile", input=["file", "text"])
    next(n for n in graph.node if n.op == "Relu6").input.append("^intruder")
    path = tmp_path / "strange.pb"
    path.write_bytes(graph.SerializeToString())
    assert constant("x", np.zeros(1, np.float32)).op == "Const"
    arguments = ("verify", MODEL, "--graph", path, "--images", ONE[0], "--precision", "float32")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "WriteFile at intruder" in err
    assert "--trust-graph" in err
    assert not written.exists()
    assert run(capsys, *arguments, "--trust-graph")[0] == 0
    assert written.read_text(encoding="utf-8") == "here"


def test_constants_that_a_graph_rounded_are_used_as_they_are_and_told(tf: Any) -> None:
    from porter.runners.tensorflow import TFRunner

    graph = freeze(load_graph(recorded(MODEL).graph), seeded_variables())
    clean = TFRunner(graph, TABLE, "frozen.pb")
    assert clean.notes == []
    third = float(np.float32(1 / 3))
    node = next(n for n in graph.node if n.op == "FusedBatchNormV3")
    node.attr["epsilon"].f = third
    baked = TFRunner(graph, TABLE, "frozen.pb")
    assert len(baked.notes) == 1
    assert "contains 1 constant that float32 rounded: float64 uses the graph's own values" in baked.notes[0]
    # In float64 the graph computes with the float32 third, not with a decimal near it.
    from porter.graph.rewrite.widen import shortest

    assert shortest(third) == third
    assert shortest(float(np.float32(0.9997))) == 0.9997
    outputs = baked(golden_images(128)[:1].astype(np.float64))
    assert outputs["Logits"].dtype == np.float64


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_sees_progress() -> None:
    terminal, other_end = os.openpty()
    command = [sys.executable, "-m", "porter.cli.main", "verify", MODEL, "--batch", "1"]
    with subprocess.Popen(command, stderr=other_end, stdout=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"}):
        os.close(other_end)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while chunk := os.read(terminal, 1 << 16):
                shown += chunk
    assert b"verifying" in shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "`batch` must be at least 1, got 0"),
        ({"atol": -1.0}, "`atol` must be 0 or more, got -1.0"),
        ({"atol": float("nan")}, "`atol` must be 0 or more, got nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PorterError, match=message):
        Settings(**settings)


def test_a_runner_without_the_precision_that_is_asked_for_is_named(nets: str) -> None:
    with pytest.raises(PorterError, match='half computes in float32 only: leave `precision="float64"` out'):
        verify(
            MODEL,
            reference="golden",
            candidate=f"{nets}:half",
            endpoint_map={"Logits": "mine", "AvgPool_1a": "pool"},
            settings=QUICK,
        )


def test_every_image_has_its_labels_and_only_the_first_keep_their_logits(
    tf: Any, save: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from porter.parity import per_image

    checkpoint, paths = save(seeded_variables()), [*sample_paths(), *sample_paths()[:2]]
    whole = verify(MODEL, checkpoint=checkpoint, images=paths, settings=Settings(batch=5))
    monkeypatch.setattr(per_image, "LOGITS_KEPT", 3)
    result = verify(MODEL, checkpoint=checkpoint, images=paths, settings=Settings(batch=2))
    assert [image.path for image in result.images] == paths
    # TensorFlow's float32 sums have another order at another place of the batch, on CPUs without AVX-512.
    first, again = (dict(result.images[at].reference) for at in (0, 3))
    assert list(again) == list(first)
    assert again == pytest.approx(first, rel=1e-6)
    for one, other in zip(whole.images, result.images, strict=True):
        assert [label for label, _ in one.ports["torch"]] == [label for label, _ in other.ports["torch"]]
    assert {name: logits.shape for name, logits in whole.logits.items()} == {"": (5, 1001), "torch": (5, 1001)}
    assert {name: logits.shape for name, logits in result.logits.items()} == {"": (3, 1001), "torch": (3, 1001)}
    np.testing.assert_allclose(result.logits["torch"], whole.logits["torch"][:3], rtol=0, atol=1e-4)


def test_only_one_batch_of_images_is_prepared_at_a_time(tf: Any, save: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.runners.images import PreparedImages

    sound, asked = PreparedImages.__getitem__, []

    def counted(self: PreparedImages, chosen: Any) -> np.ndarray:
        batch = sound(self, chosen)
        asked.append(len(batch))
        return batch

    monkeypatch.setattr(PreparedImages, "__getitem__", counted)
    paths = sample_paths() * 7
    assert verify(MODEL, checkpoint=save(seeded_variables()), images=paths, settings=Settings(batch=2))
    assert asked == [2] * 10 + [1] + [1] * 16  # the batches, and the images that are prepared in other ways too


def test_many_images_need_no_more_memory_than_a_few() -> None:
    """Only sums are kept of what a batch computes: the activations of no two batches are held at once."""
    import gc
    import weakref

    from porter.parity.compare import ErrorAccumulator

    tally, alive = ErrorAccumulator("Logits"), []
    for _ in range(3):
        values = np.random.default_rng(0).standard_normal((2, 1000))
        alive.append(weakref.ref(values))
        tally.add({"float64": {"Logits": values}}, {"float64": {"Logits": values}})
        del values
    gc.collect()
    assert not [kept for kept in alive if kept() is not None]
    assert tally.report()


def test_a_checkpoint_beside_a_golden_is_refused(save: Saver) -> None:
    """The golden's ports have name-seeded weights: the verdict would not be the checkpoint's."""
    prefix = save(training_checkpoint())
    with pytest.raises(PorterError, match="leave `checkpoint` out, or give"):
        verify(MODEL, checkpoint=prefix, reference="golden")
    # The original on the checkpoint's averages, 1.01 times the seeds, is not what the golden recorded.
    assert not verify(MODEL, checkpoint=prefix, candidate="golden")
    assert verify(MODEL, checkpoint=prefix, candidate="golden", average="raw")
