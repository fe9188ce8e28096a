"""The notebooks run, and print what they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from test_real import GRAPH

FOLDER = Path(__file__).parent.parent / "notebooks"


def texts(notebook: Any) -> list[str]:
    """Return what each cell of code printed or returned."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(out.get("text") or out.get("data", {}).get("text/plain", "") for out in c.outputs) for c in cells]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("inspect*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    if not GRAPH.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{GRAPH} is missing: run `make weights`")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    notebook = nbformat.read(path, as_version=4)
    kept = texts(notebook)
    resources = {"metadata": {"path": str(FOLDER)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    assert texts(notebook) == kept
    assert any(kept)
