"""What is installed: a wheel carries its data, an editable install reads the checkout's."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from porter.files import package_data

ROOT = Path(__file__).parent.parent


def test_an_editable_install_reads_the_checkout() -> None:
    for name in ("mappings", "golden", "labels", "released"):
        assert package_data.folder(name) == ROOT / name


@pytest.mark.slow
def test_a_wheel_verifies_a_model_without_the_checkout(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True, timeout=300)
    (wheel,) = tmp_path.glob("porter-*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(site)
    assert {"porter/mappings/mobilenet_v1.toml", "porter/labels/imagenet_1001.txt"} <= names
    assert "porter/render/templates/graph_page.html" in names
    assert not [name for name in names if name.startswith(("tests/", "build/", "golden/", "mappings/"))]
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import porter.cli.main, porter.files.package_data\n"
        f"assert porter.files.package_data.PACKAGE.is_relative_to({str(site)!r}), porter.files.package_data.PACKAGE\n"
        "assert porter.files.package_data.folder('golden').is_relative_to(porter.files.package_data.PACKAGE)\n"
        "porter.cli.main.main(['verify', 'mobilenet_v1_0.25_128'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "parity holds at 30 endpoints" in done.stdout


def test_labels_are_the_1001_with_the_background_first() -> None:
    names = package_data.labels("imagenet_1001")
    assert len(names) == 1001
    assert (names[0], names[1], names[282], names[968]) == (
        "background",
        "tench, Tinca tinca",
        "tabby, tabby cat",
        "espresso",
    )


def test_constraints_pin_what_pyproject_asks_for() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert (pinned["torch"], pinned["tensorflow-cpu"], pinned["keras"]) == ("2.13.0", "2.21.0", "3.15.1")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    base = re.search(r"^dependencies = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    assert base is not None
    assert set(re.findall(r'"([\w-]+)>=', base[1])) <= set(pinned)
