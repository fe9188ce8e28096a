"""The folders of porter's data: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from porter.errors import PorterError

PACKAGE = Path(__file__).parent.parent


def checkout() -> Path | None:
    """Return the checkout that porter runs from, None where it is installed from a wheel."""
    # A stranger's site-packages/golden is not ours: only a checkout has pyproject.toml beside it.
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None


def folder(name: str) -> Path:
    """Return the folder ``mappings``, ``golden``, ``labels`` or ``released``.

    A checkout's own folder comes first, so that an editable install never reads a stale copy. Raises PorterError if
    the folder is missing.
    """
    for root in (checkout(), PACKAGE):
        if root and (root / name).is_dir():
            return root / name
    raise PorterError(f"porter's data folder {name}/ is missing beside {PACKAGE}: install porter again")
