"""The notebooks run, and print what they hold."""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from helpers.places import GRAPH, ROOT, TESTS
from helpers.processes import HANG

FOLDER = ROOT / "notebooks"


def texts(notebook: Any) -> list[str]:
    """Return what each cell of code printed or returned; frameworks' warnings are not kept."""
    cells = [
        [out for out in cell.outputs if out.get("name") != "stderr"] for cell in notebook.cells if "outputs" in cell
    ]
    return [
        "".join(out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs) for outputs in cells
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem.startswith("inspect") else pytest.mark.slow)
        for path in sorted(FOLDER.glob("*.ipynb"))
    ],
)
def test_a_notebook_prints_what_it_holds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    source = path.read_text(encoding="utf-8")
    for package in ("matplotlib", "timm", "tensorflow"):
        if (f"import {package}" in source or f'\\"{package}\\"' in source) and find_spec(package) is None:
            pytest.skip(f"needs {package}")
    if GRAPH.name in source and not GRAPH.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{GRAPH} is missing: run `make weights`")
    # The kernel starts with the stand-in for a torchvision that is not there, and as seldom collects garbage as we do.
    start = "import gc; from helpers import torchvision_stand_in as peer; peer.install(); gc.set_threshold(*{})"
    (tmp_path / "sitecustomize.py").write_text(start.format(gc.get_threshold()))
    folders = (FOLDER.parent, tmp_path, TESTS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
    notebook = nbformat.read(path, as_version=4)
    kept = texts(notebook)
    resources = {"metadata": {"path": str(FOLDER)}}
    nbclient.NotebookClient(notebook, timeout=HANG, resources=resources).execute()
    assert texts(notebook) == kept
    assert any(kept)
