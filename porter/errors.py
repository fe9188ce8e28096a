"""What porter raises: one sentence that names the file or tensor, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class PorterError(Exception):
    """A mistake that the caller can mend; the command line prints it and exits with 2."""


class FormatError(PorterError):
    """A file is damaged, or is not of a format that porter reads."""


class MappingError(PorterError):
    """A mapping table is wrong, or a checkpoint's names and shapes are not those of the model."""


class MissingPackageError(PorterError):
    """A step needs a package that is not installed."""


def unreadable(path: Path, name: str, why: Exception) -> FormatError:
    """Return what to raise where the file ``path`` is whole but its tensor ``name`` is not."""
    return FormatError(f"{path}: {name} cannot be read: {why}; copy or download the checkpoint again")


def listing(names: Iterable[str], limit: int = 10) -> str:
    """Return up to ``limit`` names, a line each, and how many more there are."""
    names = list(names)
    lines = [f"\n  {name}" for name in names[:limit]]
    if len(names) > limit:
        lines.append(f"\n  … and {len(names) - limit} more")
    return "".join(lines)
