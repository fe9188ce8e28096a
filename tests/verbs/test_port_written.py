"""port NET/: another checkpoint of a decompiled graph, by the table beside the source."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.written import built, imported, values_of, written_golden
from porter.cli.main import main
from porter.errors import PorterError
from porter.export.written_network import RECORD, SOURCE, TABLE, network_state, write_record_and_card, write_state
from porter.files.installed import versions
from porter.formats.facts import is_decompiled
from porter.formats.open import open_checkpoint
from porter.formats.roles import SHADOW_SUFFIX
from porter.graph.codegen.network import WEIGHTS
from porter.mapping.table import Table
from porter.mapping.written_table import written_table
from porter.verbs.port_written import port_written
from porter.verbs.seed import seed

NAME = "mobilenet_v1_0.25_128"
KERNEL = "MobilenetV1/Conv2d_1_depthwise/depthwise_weights"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as decompile writes it, with name-seeded weights."""
    folder = tmp_path_factory.mktemp("net")
    golden, analysis, _, network = written_golden(NAME)
    stated = {"model": network.name, "framework": "torch", "versions": versions(("porter",))}
    (folder / SOURCE).write_text(network.source, encoding="utf-8")
    write_state(folder / WEIGHTS, network_state(network, values_of(analysis, golden).__getitem__), stated)
    (folder / TABLE).write_text(
        written_table(network, dict(zip(golden.variables, golden.variables, strict=True)), "graph.pb")[0],
        encoding="utf-8",
    )
    verdict = {"ok": True, "verdict": "parity holds", "reference": "TensorFlow", "inputs": "no images"}
    facts = stated | {"decompiled": True, "lines": network.lines, "source": {}, "notes": [], "parity": verdict}
    write_record_and_card(folder, facts)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed(NAME, tmp_path_factory.mktemp("trained") / "trained.ckpt", training=True).out


@pytest.mark.parametrize(("average", "suffix"), [("auto", SHADOW_SUFFIX), ("ema", SHADOW_SUFFIX), ("raw", "")])
def test_another_checkpoint_fills_the_source(
    net: Path, trained: Path, tmp_path: Path, average: str, suffix: str
) -> None:
    result = port_written(net, checkpoint=trained, out=tmp_path / "other.safetensors", average=average)
    assert result.average == ("ema" if suffix else "raw")
    assert result.tensors == 137
    (tmp_path / SOURCE).write_text((net / SOURCE).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "other.safetensors").rename(tmp_path / WEIGHTS)
    state = built(tmp_path / SOURCE).state_dict()
    want = open_checkpoint(trained)[KERNEL + suffix]
    got = state["convs.conv2d_1.conv_depthwise.conv.weight"].numpy()
    assert np.array_equal(got, want.transpose(2, 3, 0, 1).reshape(got.shape))


def test_the_command_reads_the_table_and_runs_no_code(
    net: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (net / SOURCE).read_text(encoding="utf-8")
    (net / SOURCE).write_text("raise SystemExit('the source ran')", encoding="utf-8")
    try:
        with pytest.raises(SystemExit) as end:
            main([str(net), "--from", "tf", "--to", "torch", "--checkpoint", str(trained), "--json"])
    finally:
        (net / SOURCE).write_text(source, encoding="utf-8")
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["tensors"] == 137


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": "keras"}, "TensorFlow's and PyTorch's names alone"),
        ({"checkpoint": None}, "give another `checkpoint`"),
        ({"out": "net.pth"}, r"end it in \.safetensors"),
        ({"average": "mean"}, "`average` must be one of"),
    ],
)
def test_what_it_does_not_take(net: Path, trained: Path, wrong: Any, message: str) -> None:
    with pytest.raises(PorterError, match=message):
        port_written(net, **{"checkpoint": trained, **wrong})


def test_a_checkpoint_of_another_graph_is_refused(net: Path, tmp_path: Path) -> None:
    other = seed("mobilenet_v1_0.5_128", tmp_path / "other.ckpt").out
    with pytest.raises(PorterError, match=r"Conv2d_0/weights becomes conv2d_0\.conv\.weight of shape \(16, 3, 3, 3\)"):
        port_written(net, checkpoint=other, out=tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_an_ordinary_folder_is_no_decompiled_network(net: Path, tmp_path: Path) -> None:
    assert is_decompiled(net)
    assert not is_decompiled(tmp_path)
    (tmp_path / RECORD).write_text("{}", encoding="utf-8")
    assert not is_decompiled(tmp_path)


def test_the_table_becomes_that_of_a_family(net: Path, trained: Path, tmp_path: Path) -> None:
    """Steps 2 and 3 of the walk in docs/decompile.md: other module names, ids, a column, and kinds of layers."""
    family = shutil.copytree(net, tmp_path / "family")
    own = Table.read(net / TABLE).pairs("tf", "torch")
    for file in (SOURCE, TABLE):
        text = (family / file).read_text(encoding="utf-8")
        (family / file).write_text(_short(text), encoding="utf-8")
    state = dict(open_checkpoint(net / WEIGHTS))
    write_state(family / WEIGHTS, {_short(name): values for name, values in state.items()}, {})
    port_written(family, checkpoint=trained, out=tmp_path / "other.safetensors", average="raw")
    kernel = (
        imported(family / SOURCE).load(tmp_path / "other.safetensors").state_dict()["convs.conv2d_1.dw.conv.weight"]
    )
    assert np.array_equal(kernel.numpy(), open_checkpoint(trained)[KERNEL].transpose(2, 3, 0, 1))
    table = (family / TABLE).read_text(encoding="utf-8").replace('"torch"]', '"torch", "keras"]')
    kinds = (("depthwise filter", "depthwise", "/depthwise_weights"), ("filter", "conv", "/weights"))
    for single, kind, leaf in kinds:
        table = re.sub(
            rf'kind = "{single}", tf = "(\S+){leaf}", torch = "(\S+)\.weight"',
            rf'kind = "{kind}", tf = "\1", torch = "\2"',
            table,
        )
    rows = (f'id = "row_{at}", keras = "layer_{at}", kind =' for at in itertools.count())
    table = re.sub(r"\bkind =", lambda _: next(rows), table)
    (family / TABLE).write_text(table, encoding="utf-8")
    pairs = Table.read(family / TABLE).pairs("tf", "torch")
    assert {(pair.source, pair.source_axes, pair.target, pair.target_axes) for pair in pairs} == {
        (pair.source, pair.source_axes, _short(pair.target), pair.target_axes) for pair in own
    }
    assert len(Table.read(family / TABLE).pairs("tf", "keras")) == len(own)


def _short(name: str) -> str:
    return name.replace("conv_depthwise", "dw").replace("conv_pointwise", "pw")
