"""Installed packages: a wheel carries the data that porter reads, an editable install reads the checkout's."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.processes import HANG
from porter.catalog import families
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, find_arch
from porter.files import package_data
from porter.runners.images import sample_paths

ROOT = Path(__file__).parent.parent


def test_an_editable_install_reads_the_checkout() -> None:
    for name in ("mappings", "golden", "labels", "released"):
        assert package_data.folder(name) == ROOT / name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, timeout=HANG)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_a_wheel_carries_what_porter_reads_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {each.filename: each.compress_size for each in archive.infolist()}
    names = {name for name in sizes if ".dist-info/" not in name}
    data = {name.removeprefix("porter/") for name in names if not name.endswith(".py")}
    for name in ("mappings", "labels", "released"):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / name).rglob("*") if path.is_file()}
        assert files <= data
    assert "render/templates/graph_page.html" in data
    needed = {"README.md", *(path.name for path in sample_paths())}
    found = {Path(name).relative_to("golden").parts for name in data if name.startswith("golden/")}
    assert {parts[1] for parts in found if parts[0] == "images"} == needed
    # Models without a release, as AmoebaNet's of other numbers of cells, may have goldens under their own names.
    unreleased = {path.parent.name for path in (ROOT / "golden").glob("*/golden.json") if "@" not in str(path)}
    models = {find_arch(name).golden for name in ARCHS.keys() | unreleased}
    folders = {folder for golden in map(recorded, models) for folder in (golden.path, golden.shared)}
    own = {folder.name: folder for folder in folders if folder.is_relative_to(ROOT / "golden")}
    assert found - {parts for parts in found if parts[0] == "images"} == {
        (name, path.name) for name, folder in own.items() for path in folder.iterdir()
    }
    assert all(name.startswith("porter/") for name in names)
    # A golden is mostly logits and probes, which do not compress; code, tables and sample images are the rest.
    goldens = sum(size for name, size in sizes.items() if Path(name).parent.name in own)
    assert 50_000 * len(own) < goldens < 105_000 * len(own)
    assert wheel.stat().st_size - goldens < 1_600_000


@pytest.mark.slow
def test_a_wheel_verifies_a_model_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import porter.cli.main, porter.files.package_data\n"
        f"assert porter.files.package_data.PACKAGE.is_relative_to({str(site)!r}), porter.files.package_data.PACKAGE\n"
        "assert porter.files.package_data.folder('golden').is_relative_to(porter.files.package_data.PACKAGE)\n"
        "porter.cli.main.main(['verify', 'mobilenet_v1_0.25_160'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert "parity holds at 30 endpoints" in done.stdout


def test_labels_are_the_1001_with_the_background_first() -> None:
    names = families.labels("imagenet_1001")
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
