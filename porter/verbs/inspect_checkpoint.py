"""The overview of a checkpoint, and the scopes of its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from porter.formats.checkpoint import Checkpoint
from porter.formats.roles import VARIABLE, counts, roles
from porter.mapping.recognise import variable_shapes
from porter.verbs.inspection import Inspection, Scope
from porter.verbs.recognised import of_checkpoint

_SCOPES_SHOWN = 4
"""Without a given depth, scopes are as deep as it takes to have this many."""


def inspect_checkpoint(checkpoint: Checkpoint, depth: int | None) -> Inspection:
    """Describe a checkpoint that is open already; ``depth`` is that of its scopes."""
    found = roles(checkpoint.entries)
    variables = [name for name, role in found.items() if role == VARIABLE]
    sizes = {name: int(np.prod(checkpoint.entries[name].shape)) for name in variables}
    kept = variable_shapes(checkpoint.entries)
    return Inspection(
        checkpoint.path,
        checkpoint.format,
        counts(found, checkpoint.asides),
        sum(sizes.values()),
        sum(_bytes(checkpoint, name, sizes) for name in variables),
        tuple(_scopes(checkpoint, sizes, depth or scope_depth(sizes))),
        of_checkpoint(checkpoint, kept),
        kept,
        checkpoint.notes,
    )


def scope_depth(names: Mapping[str, Any]) -> int:
    """Return the smallest depth at which ``names`` have a handful of scopes."""
    from porter.graph.analysis.analysis import scope_of, separator_of

    deepest = max((name.count(separator_of(name)) for name in names), default=1)
    depths = (depth for depth in range(1, deepest) if len({scope_of(name, depth) for name in names}) >= _SCOPES_SHOWN)
    return next(depths, max(deepest, 1))


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that puts Conv2d_2 before Conv2d_10."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]+)", name)]


def _bytes(checkpoint: Checkpoint, name: str, sizes: Mapping[str, int]) -> int:
    return sizes[name] * checkpoint.entries[name].dtype.itemsize


def _scopes(checkpoint: Checkpoint, sizes: Mapping[str, int], depth: int) -> list[Scope]:
    from porter.graph.analysis.analysis import scope_of

    members: dict[str, list[str]] = {}
    for name in sizes:
        members.setdefault(scope_of(name, depth), []).append(name)
    return [
        Scope(scope, len(names), sum(sizes[n] for n in names), sum(_bytes(checkpoint, n, sizes) for n in names))
        for scope, names in sorted(members.items(), key=lambda item: natural(item[0]))
    ]
