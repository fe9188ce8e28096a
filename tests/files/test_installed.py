"""Missing packages name the command that installs them, and porter knows its own version."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from helpers.places import ROOT
from porter.errors import MissingPackageError
from porter.files import installed, package_data


@pytest.fixture
def from_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site-packages folder of its own, from which porter seems to be imported, with a stranger's porter beside it."""
    monkeypatch.setattr(package_data, "PACKAGE", tmp_path / "porter")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    importlib.invalidate_caches()
    metadata(tmp_path, "porter", "77.7")
    return tmp_path


def metadata(site: Path, project: str, version: str) -> None:
    folder = site / f"{project}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n", encoding="utf-8")
    importlib.invalidate_caches()


def test_an_installed_package_is_not_imported() -> None:
    installed.require_package("wsgiref", "torch")
    assert "wsgiref" not in sys.modules


def test_a_checkout_says_what_works_in_it() -> None:
    with pytest.raises(MissingPackageError) as refused:
        installed.require_package("no_such_package", "torch")
    assert str(refused.value) == f"no_such_package is not installed: run pip install -e '{ROOT}[torch]'"


def test_a_wheel_names_the_distribution(from_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)  # type: ignore[arg-type]
    with pytest.raises(MissingPackageError) as refused:
        installed.require_package("PIL", "keras", "reading images")
    want = "reading images needs Pillow, which is not installed: run pip install 'tensorporter[keras]'"
    assert str(refused.value) == want


def test_every_extra_that_messages_name_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set()
    for path in (ROOT / "porter").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'require_package\([^,()]+, "(\w+)"', text))
        named |= set(re.findall(r'install_command\("(\w+)"\)', text))
    assert {"torch", "tf", "report"} <= named <= set(project["optional-dependencies"])


def test_no_message_installs_a_strangers_porter() -> None:
    files = (ROOT / "porter").rglob("*.py")
    wrong = [path for path in files if re.search(r"""pip install ['"]?porter\b""", path.read_text(encoding="utf-8"))]
    assert not wrong


def test_a_checkouts_version_is_that_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert installed.porter_version() == project["version"]


def test_a_wheels_version_is_its_own_and_not_a_strangers(from_wheel: Path) -> None:
    assert installed.porter_version() == "unknown"
    metadata(from_wheel, "tensorporter", "0.9.1")
    assert installed.porter_version() == "0.9.1"
    metadata(from_wheel, "numpy", "9.9")
    assert installed.versions(("porter", "numpy", "no_such_package")) == {"porter": "0.9.1", "numpy": "9.9"}
