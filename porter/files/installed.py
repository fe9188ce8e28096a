"""Installed packages: their versions, and how to install a missing one."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from porter.errors import MissingPackageError


def require_package(package: str, extra: str) -> None:
    """Raise MissingPackageError, naming porter's extra, if ``package`` is not installed. Imports nothing."""
    if find_spec(package) is None:
        raise MissingPackageError(f"{package} is not installed: pip install 'porter[{extra}]'")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those ``packages`` that are installed, by name."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
