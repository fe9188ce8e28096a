"""No framework is imported before it is needed, and imports run one way."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import porter
from helpers.checkpoints import Saver, training_checkpoint
from helpers.places import ROOT
from helpers.processes import HANG

BLOCK = """
import sys
for name in ("tensorflow", "torch", "keras", "jax", "PIL"):
    sys.modules[name] = None
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_is_imported_without_a_framework() -> None:
    out = run("import porter.cli.main; print('tensorboard' in sys.modules, 'h5py' in sys.modules)")
    assert out.split() == ["False", "False"]


def test_import_porter_imports_nothing_else_until_a_name_is_used() -> None:
    shown = "[name for name in sys.modules if name.startswith('porter.') or name == 'numpy']"
    out = run(f"import porter; print({shown}); porter.PorterError; print({shown}); print('verify' in dir(porter))")
    assert out.splitlines() == ["[]", "['porter.errors']", "True"]
    with pytest.raises(AttributeError, match="module 'porter' has no attribute 'absent'"):
        porter.absent  # noqa: B018


def test_tensorflow_is_ported_to_safetensors_without_a_framework(save: Saver, tmp_path: Path) -> None:
    prefix, out = save(training_checkpoint()), tmp_path / "out.safetensors"
    command = [
        "mobilenet_v1_0.25_128",
        "--from",
        "tf",
        "--to",
        "torch",
        "--checkpoint",
        str(prefix),
        "--out",
        str(out),
    ]
    run(f"from porter.cli.main import main; main({command!r})")
    from safetensors.numpy import load_file

    stored = load_file(out)
    assert len(stored) == 137
    want = training_checkpoint()["MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage"].transpose(3, 2, 0, 1)
    assert np.array_equal(stored["conv_stem.weight"], want)


def rooms() -> list[list[str]]:
    """Return the rooms that docs/architecture.md draws, by rank: the first is imported by all."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    block = re.search(r"```rooms\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return [line.split() for line in block[1].splitlines()]


PACKAGE = ROOT / "porter"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(path: Path) -> set[str]:
    """Return the modules of porter that a file imports, within functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys() or {node.module}
    return {name for name in found if name.split(".")[0] == "porter"}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_porter_has_these_rooms_and_no_others() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert entries == {"__init__", *(room for rank in rooms() for room in rank)}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down_only(module: str) -> None:
    rank = {room: number for number, names in enumerate(rooms()) for room in names} | {"": len(rooms())}
    own = room_of(module)
    for other in imported(MODULES[module]):
        assert other in MODULES, f"{module} imports {other}, which does not exist"
        if room_of(other) != own:
            assert rank[room_of(other)] < rank[own], f"{module} imports {other}, whose room does not rank lower"


def test_imports_contain_no_circle() -> None:
    graph = {module: imported(path) - {module} for module, path in MODULES.items()}
    # Raises CycleError, which names the circle.
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


def test_no_file_is_long() -> None:
    long = {name: lines for name, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > 400}
    assert not long


def test_the_public_face_has_functions_where_it_names_them() -> None:
    for name in porter.__all__:
        assert callable(getattr(porter, name))
        assert f"porter.{name}" not in MODULES


def test_no_test_imports_another_test() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        if "helpers" in path.parts or path.name == "conftest.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found = [name for name in names if re.match(r"(.*\.)?(test_\w+|conftest)$", name)]
            assert not found, f"{path} imports {found}: what tests share belongs in tests/helpers/"


def test_tests_mirror_the_rooms() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert folders <= {room for rank in rooms() for room in rank}
