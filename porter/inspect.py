"""inspect: what a checkpoint holds, by role and by scope."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from porter.archs import ARCHS, Arch
from porter.checkpoint import Checkpoint, open_checkpoint
from porter.mapping import Table
from porter.roles import VARIABLE, counts, roles, shadowed
from porter.translate import expected_shapes


@dataclass(frozen=True)
class Scope:
    """The variables under one name: how many, and what they weigh."""

    name: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """A checkpoint's overview. ``models`` are those of porter's whose every variable it holds."""

    path: Path
    format: str
    roles: dict[str, int]
    parameters: int
    bytes: int
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    unknown: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self) | {"path": str(self.path)}


def inspect(path: str | Path, depth: int = 2) -> Inspection:
    """Describe the checkpoint or frozen graph at ``path``, scopes down to ``depth`` names. Reads no values."""
    checkpoint = open_checkpoint(path)
    found = roles(checkpoint.entries)
    variables = [name for name, role in found.items() if role == VARIABLE]
    models = [arch for arch in ARCHS.values() if _holds(checkpoint, arch)]
    known = {pair.source for arch in models[:1] for pair in Table.load(arch.table).pairs("tf", "tf")}
    sizes = {name: int(np.prod(checkpoint.entries[name].shape)) for name in variables}
    return Inspection(
        checkpoint.path,
        checkpoint.format,
        counts(found, checkpoint.asides),
        sum(sizes.values()),
        sum(_bytes(checkpoint, name, sizes) for name in variables),
        tuple(_scopes(checkpoint, sizes, depth)),
        tuple(arch.name for arch in models),
        tuple(name for name in variables if name not in known) if models else (),
    )


def _bytes(checkpoint: Checkpoint, name: str, sizes: dict[str, int]) -> int:
    return sizes[name] * checkpoint.entries[name].dtype.itemsize


def _scopes(checkpoint: Checkpoint, sizes: dict[str, int], depth: int) -> list[Scope]:
    members: dict[str, list[str]] = {}
    for name in sizes:
        members.setdefault("/".join(name.split("/")[:-1][:depth]) or name, []).append(name)
    return [
        Scope(scope, len(names), sum(sizes[n] for n in names), sum(_bytes(checkpoint, n, sizes) for n in names))
        for scope, names in sorted(members.items(), key=lambda item: _natural(item[0]))
    ]


def _natural(name: str) -> list[str | int]:
    """Return a sort key in which Conv2d_2 comes before Conv2d_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _holds(checkpoint: Checkpoint, arch: Arch) -> bool:
    """Tell whether every variable of ``arch`` is there in its shape, the classes aside."""
    table = Table.load(arch.table)
    shapes = {shadowed(name): entry.shape for name, entry in checkpoint.entries.items()}
    want = expected_shapes(arch, table, "tf")
    heads = {pair.source for pair in table.pairs("tf", "tf") if pair.head}
    return all(
        name in shapes and (shapes[name] == shape or (name in heads and len(shapes[name]) == len(shape)))
        for name, shape in want.items()
    )
