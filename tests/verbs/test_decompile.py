"""decompile: a folder that holds a network's source, its weights and the verdict, or nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import porter.verbs.decompile as verb
from helpers.graphs import Maker
from helpers.written import built
from porter.catalog.goldens import recorded, seeded_entries
from porter.cli.main import main
from porter.errors import PorterError
from porter.export.written_network import FILES, require_folder
from porter.formats.open import open_checkpoint
from porter.formats.roles import SHADOW_SUFFIX
from porter.formats.tensorflow.source import read_graph
from porter.graph.rewrite.freeze import freeze
from porter.verbs.check import check
from porter.verbs.decompile import Decompiled, decompile
from porter.verbs.seed import seed
from porter.verbs.verify_decompiled import verify_decompiled

NAME = "mobilenet_v1_0.25_128"
LAST = "MobilenetV1/MobilenetV1/Conv2d_2_pointwise/Relu6"


@pytest.fixture(scope="module")
def graph() -> Path:
    return recorded(NAME).graph


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("seeded") / "seeded.ckpt"
    seed(NAME, prefix, training=True)
    return prefix


@pytest.fixture(scope="module")
def written(graph: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Decompiled:
    """The first layers of a network, decompiled."""
    out = tmp_path_factory.mktemp("decompiled") / "net"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", False)  # as for most users, whatever this environment says
        return decompile(graph, out=out, checkpoint=checkpoint, outputs=[LAST], anyway=True, average="raw")


def test_the_folder_holds_all_that_a_stranger_needs(written: Decompiled) -> None:
    assert written
    assert written.out is not None
    assert {path.name for path in written.out.iterdir()} == FILES
    assert check(written.out)
    facts = json.loads((written.out / "config.json").read_text(encoding="utf-8"))
    assert facts["parity"]["ok"]
    assert "pictures and noise" in facts["parity"]["inputs"]
    assert facts["parity"]["verdict"] in (written.out / "README.md").read_text(encoding="utf-8")


def test_the_verdict_covers_each_block(written: Decompiled) -> None:
    assert written.report is not None
    assert [row.endpoint.split("/")[2] for row in written.report.rows] == [
        "Conv2d_0",
        "Conv2d_1_pointwise",
        "Conv2d_2_pointwise",
    ]
    assert max(row.exact or 0 for row in written.report.rows) < 1e-12


def test_the_weights_are_the_checkpoints(written: Decompiled, checkpoint: Path) -> None:
    assert written.out is not None
    state = built(written.out / "model.py").state_dict()
    kernel = open_checkpoint(checkpoint)["MobilenetV1/Conv2d_0/weights"]
    assert np.array_equal(state["conv2d_0.conv.weight"].numpy(), kernel.transpose(3, 2, 0, 1))


def test_the_folder_is_verified_with_another_checkpoint(written: Decompiled, checkpoint: Path) -> None:
    assert written.out is not None
    result = verify_decompiled(written.out, checkpoint)
    assert result
    assert result.average == "ema"


def test_the_command_verifies_the_folder(
    written: Decompiled, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, status, said in (([], 0, "parity holds"), (["--rename", "a=b"], 2, "--rename: a decompiled")):
        with pytest.raises(SystemExit) as end:
            main(["verify", str(written.out), "--checkpoint", str(checkpoint), *options])
        assert end.value.code == status
        assert said in " ".join("".join(capsys.readouterr()).split())


def test_a_strangers_source_runs_only_if_it_is_trusted(written: Decompiled, checkpoint: Path, tmp_path: Path) -> None:
    assert written.out is not None
    folder = Path(shutil.copytree(written.out, tmp_path / "net"))
    source = (folder / "model.py").read_text(encoding="utf-8")
    (folder / "model.py").write_text(source + f"\n\nPath({str(tmp_path / 'ran')!r}).touch()\n", encoding="utf-8")
    with pytest.raises(PorterError, match="is not what porter writes for the graph beside it, so porter does not run"):
        verify_decompiled(folder, checkpoint)
    assert not (tmp_path / "ran").exists()
    assert verify_decompiled(folder, checkpoint, trust_code=True)
    assert (tmp_path / "ran").exists()


def test_averages_are_taken_where_every_variable_has_one(graph: Path, checkpoint: Path, tmp_path: Path) -> None:
    result = decompile(graph, out=tmp_path / "net", checkpoint=checkpoint, outputs=[LAST], anyway=True)
    assert result.average == "ema"
    state = built(tmp_path / "net/model.py").state_dict()
    kernel = open_checkpoint(checkpoint)["MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage"]
    assert np.array_equal(state["conv2d_0.conv.weight"].numpy(), kernel.transpose(3, 2, 0, 1))


def test_the_choice_of_averages_holds_where_the_graph_restores_averages(tf: Any, tmp_path: Path) -> None:
    """A graph for evaluation gives each variable its average, under the variable's own name."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 9, 9, 3), name="x")
        kernel = tf.compat.v1.get_variable("net/weights", (3, 3, 3, 4), use_resource=False)
        tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"), name="net/relu")
        average = tf.train.ExponentialMovingAverage(0.5)
        update = average.apply([kernel])
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(kernel.assign(kernel + 1.0))
        session.run(update)
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "m.ckpt"), write_meta_graph=False)
        saver = tf.compat.v1.train.Saver(average.variables_to_restore([kernel]))
        tf.compat.v1.train.export_meta_graph(str(tmp_path / "eval.meta"), saver_def=saver.saver_def)
    graph, opened = tmp_path / "eval.meta", open_checkpoint(tmp_path / "m.ckpt")
    assert read_graph(graph).keys["net/weights"] == "net/weights/ExponentialMovingAverage"
    for average, suffix in (("raw", ""), ("ema", SHADOW_SUFFIX), ("auto", SHADOW_SUFFIX)):
        result = decompile(graph, checkpoint=tmp_path / "m.ckpt", average=average, out=tmp_path / average)
        assert result
        assert result.average == ("ema" if suffix else "raw")
        (value,) = built(tmp_path / average / "model.py").state_dict().values()
        assert np.array_equal(value.numpy(), opened[f"net/weights{suffix}"].transpose(3, 2, 0, 1))


def test_a_frozen_graph_brings_its_values(tmp_path: Path) -> None:
    golden = recorded(NAME)
    values = {name: entry.load() for name, entry in seeded_entries(golden).items()}
    path = tmp_path / "frozen.pb"
    path.write_bytes(freeze(golden.load_graph(), values).SerializeToString())
    result = decompile(path, out=tmp_path / "net", outputs=[LAST], anyway=True)
    assert result
    assert check(tmp_path / "net")


def test_a_network_begins_and_ends_where_one_says(graph: Path, checkpoint: Path, tmp_path: Path) -> None:
    result = decompile(
        graph, out=tmp_path / "net", checkpoint=checkpoint, inputs=[LAST],
        outputs=["MobilenetV1/MobilenetV1/Conv2d_3_depthwise/Relu6"], anyway=True,
    )  # fmt: skip
    assert result
    assert result.network is not None
    assert {placed.weight.name.split("/")[1] for placed in result.network.weights} == {"Conv2d_3_depthwise"}


def test_a_source_that_computes_something_else_gets_no_name(
    graph: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = verb.written_network

    def wrong(analysis: Any, name: str, keeps_dropout: bool) -> Any:
        program, network = write(analysis, name, keeps_dropout)
        assert network is not None
        object.__setattr__(network, "source", network.source.replace("eps=0.001", "eps=0.0010001"))
        return program, network

    monkeypatch.setattr(verb, "written_network", wrong)
    result = decompile(graph, out=tmp_path / "net", checkpoint=checkpoint, outputs=[LAST], anyway=True)
    assert not result
    assert result.out is None
    assert list(tmp_path.iterdir()) == []
    assert result.report is not None
    assert result.report.first_divergence is not None
    first = "MobilenetV1/MobilenetV1/Conv2d_0/BatchNorm/FusedBatchNormV3"
    assert result.report.first_divergence.endpoint == first


def test_a_source_that_is_right_on_pictures_alone_gets_no_name(
    graph: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = verb.written_network
    hook = "    network.register_forward_pre_hook(lambda _, given: (given[0].clamp(-1, 1),))\n    return network.eval()"

    def wrong(analysis: Any, name: str, *options: Any) -> Any:
        program, network = write(analysis, name, *options)
        assert network is not None
        object.__setattr__(network, "source", network.source.replace("    return network.eval()", hook))
        return program, network

    monkeypatch.setattr(verb, "written_network", wrong)
    result = decompile(graph, out=tmp_path / "net", checkpoint=checkpoint, outputs=[LAST], anyway=True)
    assert not result
    assert result.report is not None
    assert result.report.first_divergence is not None
    assert "Conv2d_0/" in result.report.first_divergence.endpoint
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_does_not_run_is_one_sentence(
    graph: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = verb.written_network

    def wrong(analysis: Any, name: str, *options: Any) -> Any:
        program, network = write(analysis, name, *options)
        assert network is not None
        object.__setattr__(network, "source", network.source.replace("eps=0.001", "eps=epsilon"))
        return program, network

    monkeypatch.setattr(verb, "written_network", wrong)
    with pytest.raises(PorterError, match=r"model\.py fails: NameError: .*, though porter wrote it: report the graph"):
        decompile(graph, out=tmp_path / "net", checkpoint=checkpoint, outputs=[LAST], anyway=True)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_porter_knows_is_named_first(graph: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert decompile(graph).known is not None
    with pytest.raises(PorterError, match=r"is a network that porter has: run `port mobilenet_v1_0\.25_128 --from tf "):
        decompile(graph, out=tmp_path / "net", checkpoint=checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_all_ops_without_a_translation_are_listed_at_once(tmp_path: Path) -> None:
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 3)
    x = make("FractionalMaxPoolGrad", "first", make.conv("conv", x, 3, 3, 3, 4))
    x = make("Bucketize", "second", make("FractionalMaxPoolGrad", "third", x))
    path = tmp_path / "odd.pb"
    path.write_bytes(make.graph.SerializeToString())
    result = decompile(path)
    assert not result
    assert result.network is None
    assert {problem.node for problem in result.problems} == {"first", "second", "third"}
    assert result.problems[0].shapes == ((None, 8, 8, 4),)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": "keras"}, "PyTorch alone"),
        ({"average": "mean"}, "`average` must be one of"),
        ({"outputs": ["MobilenetV1/Logits/Squeeze"]}, "has no node MobilenetV1/Logits/Squeeze for `outputs`: did you"),
        ({"out": "new/net", "anyway": True}, "the folder new does not exist"),
        ({"out": ".", "anyway": True}, "is the current folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(graph: Path, wrong: Any, message: str) -> None:
    with pytest.raises(PorterError, match=message) as error:
        decompile(graph, **wrong)
    assert "\n\n" not in str(error.value)


def test_a_graph_without_values_needs_a_checkpoint(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(PorterError, match="not frozen, and its 137 variables need values: give `checkpoint`"):
        decompile(graph, out=tmp_path / "net", anyway=True)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/notes.txt").write_text("mine", encoding="utf-8")
    yield tmp_path / "net"
    assert (tmp_path / "net/notes.txt").read_text(encoding="utf-8") == "mine"


def test_other_files_are_not_replaced(busy: Path) -> None:
    with pytest.raises(PorterError, match=r"holds other files: name a new folder\n  notes\.txt"):
        require_folder(busy)


def test_the_network_that_porter_knows_takes_the_images_of_the_graph(graph: Path, tmp_path: Path) -> None:
    known = decompile(shutil.copyfile(graph, tmp_path / "graph.pb.gz")).known
    assert known is not None
    assert str(known.command).startswith("port mobilenet_v1_0.25_128 --from tf ")
