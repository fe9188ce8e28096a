"""The page's tables of decompiled graphs keep the limits that porter sets itself."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from porter.parity.compare import EXACT_BOUND, RMS_BOUND

decompile_graphs = importlib.import_module("decompile_graphs")
TIME = 3.0
"""CPU time of reading, planning and writing, relative to TensorFlow's import."""


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """The cells of porter's table."""
    lines = decompile_graphs.pages.written("decompile.md", "decompile_graphs.py")
    cells = [decompile_graphs.cells(line) for line in lines]
    whole = [row for row in cells if len(row) == 10 and not row[0].startswith(("graph", "---"))]
    assert len(whole) > 20
    return whole


def test_every_written_network_is_the_same_function(rows: list[list[str]]) -> None:
    for name, _, lines, compared, verdict, exact, rounding, *_ in rows:
        if verdict.startswith("not verified: more than"):  # a limit of the benchmark
            continue
        assert verdict == "the same function", name
        assert int(lines) > 0
        assert int(compared) > 0
        assert float(exact) <= EXACT_BOUND
        assert float(rounding) <= RMS_BOUND


def test_writing_takes_no_more_time_and_memory_than_promised(rows: list[list[str]]) -> None:
    for name, *_, time, memory, _ in rows:
        used, _, allowed = memory.partition(" of ")
        assert float(time) <= TIME, name
        assert float(used) <= float(allowed), name


def test_a_graph_without_new_results_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompile_graphs, "WORK", tmp_path)
    before = decompile_graphs.pages.written("decompile.md", "decompile_graphs.py")
    names = [name for name, _, _ in decompile_graphs.graphs(Path())]
    first = next(name for name in names if any(line.startswith(f"| {name} |") for line in before))
    failed = {"answer": None, "failure": "does not open"}
    (tmp_path / f"{first}.json").write_text(json.dumps({"inputs": failed, "done": True}), encoding="utf-8")
    after = decompile_graphs.tables([decompile_graphs.Measured(name) for name in names], before)
    changed = [line for line in before if line not in after]
    assert [line for line in changed if line.startswith("|")] == [
        line for line in before if line.startswith(f"| {first} |")
    ]
    assert sum(line.startswith(f"| {first} |") for line in after) == 2
    assert "in TensorFlow alone does not open" in "".join(after)
