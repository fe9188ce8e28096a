"""A graph that was frozen in training: inspect, port and verify say so first, and its weights are ported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

from helpers.checkpoints import SMALL
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.cli.main import main
from porter.errors import MappingError, PorterError
from porter.formats.open import open_checkpoint
from porter.graph.rewrite.freeze import freeze
from porter.verbs.port import port
from porter.verbs.verify import verify

SENTENCE = "a training graph: 27 batch norms use the batch's statistics"
Run = Callable[..., tuple[int, str, str]]


def in_training(graph: Any) -> Any:
    """Return ``graph`` with its batch norms in training mode; slim's still read the moving statistics."""
    other = GraphDef.FromString(graph.SerializeToString())
    for node in other.node:
        if node.op == "FusedBatchNormV3":
            node.attr["is_training"].b = True
    return other


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training") / "frozen.pb"
    golden = recorded(SMALL)
    graph = freeze(golden.load_graph(), dict(seeded_checkpoint(golden)))
    path.write_bytes(in_training(graph).SerializeToString())
    return path


@pytest.fixture(scope="module")
def without_statistics(frozen: Path) -> Path:
    """A graph whose batch norms read no moving statistics, so that freezing drops these."""
    graph = GraphDef.FromString(frozen.read_bytes())
    kept = [node for node in graph.node if "/moving_" not in node.name]
    for node in kept:
        if node.op == "FusedBatchNormV3":
            node.input[3:5] = ["none", "none"]
    graph = GraphDef(node=kept, versions=graph.versions)
    empty = graph.node.add(name="none", op="Const")
    empty.attr["dtype"].type = empty.attr["value"].tensor.dtype = 1
    empty.attr["value"].tensor.tensor_shape.dim.add(size=0)
    path = frozen.with_name("lost.pb")
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.fixture(scope="module")
def hub(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of two graphs with the same variables: the first tagged train, the other without tags."""
    folder = tmp_path_factory.mktemp("hub")
    graph, raw = recorded(SMALL).load_graph(), b"\x08\x01"
    for tags, inner in ((["train"], in_training(graph)), ([], graph)):
        meta = MetaGraphDef(graph_def=inner)
        meta.meta_info_def.tags.extend(tags)
        part = meta.SerializeToString()
        size, length = b"", len(part)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        raw += b"\x12" + size + bytes([length]) + part
    (folder / "saved_model.pb").write_bytes(raw)
    (folder / "variables").mkdir()
    for file in small.parent.glob(f"{small.name}.*"):
        (folder / "variables" / f"variables{file.suffix}").write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_inspect_says_it_first_with_the_command_that_works(run: Run, frozen: Path) -> None:
    _, out, _ = run("inspect", frozen)
    assert out.splitlines()[1:3] == [
        f"  training   {SENTENCE}",
        "  remedy     freeze the inference graph, or verify the weights in the model's own inference graph:  "
        f"port verify {SMALL} --checkpoint {frozen}",
    ]
    found = json.loads(run("inspect", frozen, "--json")[1])["training"]
    assert found["sentence"] == SENTENCE
    assert len(found["batch_norms_with_batch_statistics"]) == 27


def test_port_says_it_first_and_takes_the_weights(run: Run, frozen: Path, tmp_path: Path) -> None:
    args = (SMALL, "--from", "tf", "--to", "torch", "--checkpoint", frozen, "--out", tmp_path / "m.safetensors")
    code, out, _ = run(*args)
    assert code == 0
    assert out.splitlines()[1].startswith(
        f"  training {SENTENCE} (its weights are ported as they are; to run the network"
    )
    plain = port(SMALL, checkpoint=frozen.with_name("frozen.pb"))
    assert plain.as_dict()["training"]["sentence"] == SENTENCE
    written = open_checkpoint(tmp_path / "m.safetensors")
    ours, golden = dict(written), seeded_checkpoint(recorded(SMALL))
    kernel = golden["MobilenetV1/Conv2d_0/weights"].transpose(3, 2, 0, 1)
    assert any(value.shape == kernel.shape and (value == kernel).all() for value in ours.values())


def test_port_of_one_that_lost_its_statistics_says_why(without_statistics: Path) -> None:
    expected = rf"lost\.pb is {SENTENCE}, and a frozen one keeps only what its outputs need: port the checkpoint"
    with pytest.raises(MappingError, match=expected):
        port(SMALL, checkpoint=without_statistics)


@pytest.mark.parametrize("trust", [False, True])
def test_verify_refuses_to_run_it_and_names_the_cause(frozen: Path, trust: bool) -> None:
    with pytest.raises(
        PorterError, match=rf"is {SENTENCE}, and no port computes that: freeze the inference graph"
    ) as e:
        verify(SMALL, graph=frozen, trust_graph=trust)
    assert f"`port verify {SMALL} --checkpoint {frozen}`" in str(e.value)


def test_that_command_verifies_the_weights_in_the_recorded_graph(tf: Any, frozen: Path) -> None:
    found = verify(SMALL, checkpoint=frozen)
    assert found
    assert "the original graph, filled by its own reader of frozen.pb" in found.reference


def test_of_a_saved_model_the_graph_that_is_not_for_training_runs(tf: Any, run: Run, hub: Path) -> None:
    assert verify(SMALL, checkpoint=hub, graph=hub)
    with pytest.raises(PorterError, match=f"is {SENTENCE}") as refused:
        verify(SMALL, checkpoint=hub, graph=hub, tag="train")
    assert f"`port verify {SMALL} --checkpoint {hub}`" in str(refused.value)
    assert "training" not in run("inspect", hub)[1].split("note")[0]
    _, out, _ = run("inspect", hub, "--tag", "train")
    assert SENTENCE in out
    assert f"--checkpoint {hub} --out" in out


def test_port_takes_a_tag_too(hub: Path, small: Path) -> None:
    assert not port(SMALL, checkpoint=hub).training
    assert port(SMALL, checkpoint=hub, tag="train").training
    with pytest.raises(PorterError, match='no graph tagged serve: choose `tag="train"` or `tag=""`'):
        port(SMALL, checkpoint=hub, tag="serve")
    with pytest.raises(PorterError, match="is a TensorFlow V2 checkpoint, and `tag` chooses"):
        port(SMALL, checkpoint=small, tag="serve")


def test_a_tag_without_a_graph_is_refused(small: Path) -> None:
    with pytest.raises(PorterError, match="`tag` chooses among the graphs of a SavedModel: name that by `graph`"):
        verify(SMALL, checkpoint=small, tag="serve")
