"""The errors that porter raises, and helpers for their sentences.

Each is one sentence that names the file or tensor, what was expected and what to do next.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_SEPARATORS = re.compile(r"[/.]")
_REMARK = re.compile(r",? .*", re.DOTALL)


class PorterError(Exception):
    """An error that the caller can correct; the command line prints it and exits with 2."""


class CodeError(PorterError):
    """A user's code, or that of a decompiled network, fails."""


class FormatError(PorterError):
    """A file is damaged, or of a format that porter does not read."""


class MappingError(PorterError):
    """A mapping table is wrong, or a checkpoint's names and shapes differ from the model's.

    ``ways`` holds one set of arguments for each call that works: ``{argument: value}``. The text of the error names
    them; the command line shows whole commands in their place.
    """

    def __init__(self, message: str, ways: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.ways = tuple(ways)

    @property
    def finding(self) -> str:
        """The text without the ways out of it."""
        return str(self.args[0])

    def __str__(self) -> str:
        taken = [" and ".join(f"`{name}={value!r}`" for name, value in way.items()) for way in self.ways]
        if not taken:
            return self.finding
        return f"{self.finding}: take {taken[0]}" if len(taken) == 1 else f"{self.finding}; take one of{listing(taken)}"


class MissingPackageError(PorterError):
    """A step needs a package that is not installed."""


def unreadable(path: Path, name: str, why: Exception) -> FormatError:
    """Return the error for the tensor ``name`` of the otherwise readable file ``path``."""
    return FormatError(f"{path}: {name} cannot be read: {why}; copy or download the checkpoint again")


def listing(names: Iterable[str], limit: int = 10) -> str:
    """Return up to ``limit`` names, a line each, and how many more there are."""
    names = list(names)
    lines = [f"\n  {name}" for name in names[:limit]]
    if len(names) > limit:
        lines.append(f"\n  … and {len(names) - limit} more")
    return "".join(lines)


def summary(names: Iterable[str], limit: int = 10) -> list[str]:
    """Return the names of tensors; more than ``limit`` as counts of what they share: 36 x head/*.

    They share the first part of their names, the last one, or both, ``blocks.*.num_batches_tracked``: whichever gives
    fewer groups, and of equals the one that says more. Where even these are more than ``limit``, all names come back.
    Text behind a space is no part of a name.
    """
    names = list(names)
    if len(names) <= limit:
        return names
    parts = [_SEPARATORS.split(_REMARK.sub("", name)) for name in names]
    scopes = [_scope(part, name) for part, name in zip(parts, names, strict=True)]
    both = [
        scope + scope[-2] + part[-1] if len(part) > 2 else name
        for scope, part, name in zip(scopes, parts, names, strict=True)
    ]
    found = []
    for label in (both, scopes, [part[-1] for part in parts]):
        counts = Counter(label)
        alone = dict(zip(label, names, strict=True))
        found.append([f"{count} x {each}" if count > 1 else alone[each] for each, count in counts.most_common()])
    shortest = min(found, key=len)
    return shortest if len(shortest) <= limit else names


def _scope(parts: list[str], name: str) -> str:
    """Return a pattern for the names in the same outermost scope, the name itself where it has none."""
    return f"{parts[0]}{name[len(parts[0])]}*" if len(parts) > 1 else name


def plural(count: int, noun: str) -> str:
    """Return ``count`` with ``noun`` in the singular or plural: 1 image, 3 images."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def first_of(noun: str, names: Sequence[str]) -> str:
    """Return how many ``names`` there are, and the first of them: 3 layers (such as conv1)."""
    such = "such as " if len(names) > 1 else ""
    return f"{plural(len(names), noun)} ({such}{names[0]})"
