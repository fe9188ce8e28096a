"""Optional packages: whether they are installed, and how to install them."""

from __future__ import annotations

from importlib.util import find_spec

from porter.errors import MissingPackageError


def require_package(package: str, extra: str) -> None:
    """Raise MissingPackageError, naming porter's extra, where ``package`` is not installed. Imports nothing."""
    if find_spec(package) is None:
        raise MissingPackageError(f"{package} is not installed: pip install 'porter[{extra}]'")
