"""Installed packages: their versions, and the command that installs a missing one."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from porter.errors import MissingPackageError
from porter.files.package_data import PACKAGE

DISTRIBUTION = "porter"
"""The name under which pip knows porter."""


def require_package(package: str, extra: str) -> None:
    """Raise MissingPackageError, naming porter's ``extra``, if ``package`` is not installed. Imports nothing."""
    if find_spec(package) is None:
        raise MissingPackageError(f"{package} is not installed: {install_command(extra)}")


def install_command(extra: str) -> str:
    """Return the command that installs porter's ``extra``, in a checkout or out of one."""
    checkout = PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return f"pip install -e '{checkout}[{extra}]'"
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of porter and of the other ``packages``, by name; leaves out those not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(DISTRIBUTION if package == "porter" else package)
        except PackageNotFoundError:
            continue
    return found
