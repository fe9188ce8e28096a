"""Recorders: a golden recorded afresh is the stored one, and a recorder of another code base needs no change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef

import record
import recorders
from helpers.processes import HANG
from porter.catalog import goldens
from porter.files import package_data

ARCHITECTURE, OTHER_SIZE = "mobilenet_v1_0.25_128", "mobilenet_v1_0.25_128@97"


@pytest.mark.slow
def test_a_golden_is_what_the_original_code_computes_today(tmp_path: Path) -> None:
    pytest.importorskip("tf_slim", reason="needs golden/requirements.txt")
    recorder = package_data.folder("golden") / "record.py"
    command = [sys.executable, str(recorder), ARCHITECTURE, OTHER_SIZE, "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=HANG, capture_output=True)
    for name in (ARCHITECTURE, OTHER_SIZE):
        stored, fresh = package_data.folder("golden") / name, tmp_path / name
        files = {path.name for path in stored.iterdir()}
        assert files == {path.name for path in fresh.iterdir()}
        for file in files - {"golden.npz"}:
            assert (stored / file).read_bytes() == (fresh / file).read_bytes(), file
        with np.load(stored / "golden.npz") as want, np.load(fresh / "golden.npz") as got:
            assert set(got) == set(want)
            for key in want:
                # Other processors sum in another order: rounding may differ, in units of the deviation.
                bound = 1e-12 if want[key].dtype == np.float64 else 1e-4
                assert np.abs(got[key] - want[key]).max() <= bound * want[key].std(), key


TALLY = """
import numpy as np
from recorders import Description
from tensorboard.compat.proto.graph_pb2 import GraphDef

def describe(recipe):
    graph = GraphDef()
    graph.node.add(name="input", op="Placeholder").attr["shape"].shape.dim.add(size=recipe.input_size)
    variables = {"w": [recipe.options.get("width", 1), recipe.num_classes]}
    training = {"aux": [recipe.input_size]}
    return Description("tally of its authors", "logits", {"Logits": [2]}, variables, training, ["w"], graph)

def measure(recipe):
    return {"logits_float64": np.full((3, 2), recipe.gain)}
"""

RECORDS = """
big = { recorder = "tally", input_size = 8, num_classes = 2, salt = 1, gain = 0.5, width = 3 }
"big@6" = { architecture = "big", input_size = 6 }
lost = { recorder = "nobody", input_size = 8, num_classes = 2, salt = 1, gain = 0.5 }
"""


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of a recorder that is one more file in golden/recorders/."""
    folder = tmp_path / "more_recorders"
    folder.mkdir()
    (folder / "tally.py").write_text(TALLY)
    monkeypatch.setattr(recorders, "__path__", [*recorders.__path__, str(folder)])
    (tmp_path / "models.toml").write_text(RECORDS)
    return tmp_path / "models.toml"


def test_a_recorder_is_a_module_and_porter_reads_its_goldens(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("big", "big@6"):
        record.record(name, tmp_path, records)
    assert {path.name for path in (tmp_path / "big@6").iterdir()} == {"golden.json", "golden.npz"}
    monkeypatch.setattr(goldens, "golden_path", lambda name: tmp_path / name)
    big, small = (goldens.recorded(name) for name in ("big", "big@6"))
    assert (big.origin, big.model, small.model) == ("tally of its authors", "big", "big")
    assert (big.input_size, small.input_size) == (8, 6)
    assert big.all_variables == {"w": (3, 2), "aux": (8,)}
    assert small.all_variables == {"w": (3, 2), "aux": (6,)}
    assert small.endpoint_shapes == {"Logits": (2,)}
    assert [g.load_graph().node[0].attr["shape"].shape.dim[0].size for g in (big, small)] == [8, 6]
    assert small.values()["logits_float64"].tolist() == [[0.5, 0.5]] * 3
    assert json.loads((tmp_path / "big/golden.json").read_text())["width"] == 3


def test_records_that_cannot_be_recorded_say_why(records: Path, tmp_path: Path) -> None:
    with pytest.raises(recorders.RecordError, match=r"models\.toml has no small"):
        record.record("small", tmp_path, records)
    with pytest.raises(recorders.RecordError, match=r"unknown recorder nobody: choose one of .*slim, tally, or add"):
        record.record("lost", tmp_path, records)


def test_a_network_that_differs_in_more_than_shapes_is_another_architecture() -> None:
    def described(op: str = "Placeholder", value: str = "x", variable: str = "w") -> recorders.Description:
        graph = GraphDef()
        graph.node.add(name="input", op=op).attr["value"].s = value.encode()
        return recorders.Description("", "logits", {}, {variable: [1]}, {}, [], graph)

    shared = described()
    fields = record.differences("a@2", described(value="y"), "a", shared)
    assert fields == {"architecture": "a", "graph_at_this_size": {"input": {"value": {"s": "eQ=="}}}}
    for other in (described(op="Const"), described(variable="v")):
        with pytest.raises(recorders.RecordError, match="a@2 is not of the architecture a: leave `architecture` out"):
            record.differences("a@2", other, "a", shared)
