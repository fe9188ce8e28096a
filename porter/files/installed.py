"""What is installed: porter's own version, and optional packages with the command that installs them."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

from porter.errors import MissingPackageError

DISTRIBUTION = "tensorporter"
"""porter's name on PyPI, where another project owns the name ``porter``."""


def require_package(package: str, extra: str) -> None:
    """Raise MissingPackageError, naming porter's extra, where ``package`` is not installed. Imports nothing."""
    if find_spec(package) is None:
        raise MissingPackageError(f"{package} is not installed: pip install '{DISTRIBUTION}[{extra}]'")


def porter_version() -> str:
    """Return porter's version."""
    return version(DISTRIBUTION)
