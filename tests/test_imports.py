"""No framework is imported before it is needed, and imports run one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import porter
from conftest import Saver, training_checkpoint

BLOCK = """
import sys
for name in ("tensorflow", "torch", "keras", "jax", "PIL"):
    sys.modules[name] = None
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_is_imported_without_a_framework() -> None:
    out = run("import porter.cli; print('tensorboard' in sys.modules, 'h5py' in sys.modules)")
    assert out.split() == ["False", "False"]


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
    run(f"from porter.cli import main; main({command!r})")
    from safetensors.numpy import load_file

    stored = load_file(out)
    assert len(stored) == 137
    want = training_checkpoint()["MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage"].transpose(3, 2, 0, 1)
    assert np.array_equal(stored["conv_stem.weight"], want)


def tiers() -> list[list[str]]:
    """Return the tiers that docs/architecture.md draws, the first imported by all."""
    text = (Path(__file__).parent.parent / "docs/architecture.md").read_text(encoding="utf-8")
    block = re.search(r"```tiers\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return [line.split() for line in block[1].splitlines()]


def modules() -> list[Path]:
    return sorted(
        path
        for path in Path(porter.__file__).parent.rglob("*.py")
        if path.name != "__init__.py" or path.parent.name != "porter"
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(Path(porter.__file__).parent)))
def test_imports_run_one_way(path: Path) -> None:
    tier = {name: number for number, names in enumerate(tiers()) for name in names}
    own = tier[path.relative_to(Path(porter.__file__).parent).parts[0].removesuffix(".py")]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "porter":
            parts = (node.module or "").split(".")
            names = parts[1:2] or [alias.name for alias in node.names]
            for name in names:
                assert tier[name] <= own, f"{path.name} imports porter.{name}, which comes after it"
