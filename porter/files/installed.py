"""What is installed: porter's own version, and optional packages with the command that installs them."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from porter.errors import MissingPackageError
from porter.files.package_data import checkout

DISTRIBUTION = "tensorporter"
"""porter's name on PyPI, where another project owns the name ``porter``."""

_PROJECTS = {"PIL": "Pillow"}
"""Projects whose name differs from that of the package that they install."""


def require_package(package: str, extra: str, task: str | None = None) -> None:
    """Raise MissingPackageError unless ``package`` is installed; imports nothing.

    The message names the command that installs porter's ``extra``, and the ``task`` that needs the package, if given.
    """
    if find_spec(package) is not None:
        return
    project = _PROJECTS.get(package, package)
    problem = f"{task} needs {project}, which is not installed" if task else f"{project} is not installed"
    raise MissingPackageError(f"{problem}: run {install_command(extra)}")


def install_command(extra: str) -> str:
    """Return the command that installs porter's ``extra``: in the checkout that porter runs from, else from PyPI."""
    root = checkout()
    return f"pip install -e '{root}[{extra}]'" if root else f"pip install '{DISTRIBUTION}[{extra}]'"


def porter_version() -> str:
    """Return porter's version, ``unknown`` for a bare copy of the package.

    In a checkout pyproject.toml states it: the metadata of an editable install may be older than the code.
    """
    root = checkout()
    if root:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])
    return _version(DISTRIBUTION) or "unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of ``packages`` that are installed; ``porter`` names this one."""
    found = {package: porter_version() if package == "porter" else _version(package) for package in packages}
    return {package: version for package, version in found.items() if version}


def _version(project: str) -> str | None:
    """Return the version of an installed project, None where it is not installed.

    A wheel's metadata lies in a folder that its version names (packaging.python.org, Recording installed projects). To
    import importlib.metadata, which finds the projects of older installers too, takes 0.02 s of a port.
    """
    for site in sys.path:
        for folder in Path(site).glob(f"{project}-[0-9]*.dist-info"):
            return folder.name.removeprefix(f"{project}-").removesuffix(".dist-info")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(project)
    except PackageNotFoundError:
        return None
