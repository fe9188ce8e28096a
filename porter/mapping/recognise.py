"""recognise: which of porter's architectures a file's variables are, or contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from porter.catalog.models import ARCHS, Arch
from porter.mapping.table import Pair, Table
from porter.mapping.translate import expected_shapes


@dataclass(frozen=True)
class Match:
    """One architecture that is there: ``prefix`` is the scope that it stands in, ``classes`` its head's.

    ``whole`` tells that its classifier is there too; ``unknown`` are the file's other variables.
    """

    arch: Arch
    prefix: str
    classes: int | None
    whole: bool
    unknown: tuple[str, ...]


def recognise(shapes: Mapping[str, tuple[int | None, ...] | None], size: int | None = None) -> list[Match]:
    """Return every architecture whose variables are among ``shapes``, the input ``size`` preferred.

    Names and shapes must be the original's; only the number of classes is free.
    """
    found = [match for arch in ARCHS.values() if (match := _match(arch, shapes)) is not None]
    return sorted(found, key=lambda match: (not match.whole, match.arch.input_size != size))


@cache
def _pairs(table: str) -> tuple[Pair, ...]:
    return tuple(Table.load(table).pairs("tf", "tf"))


def _match(arch: Arch, shapes: Mapping[str, tuple[int | None, ...] | None]) -> Match | None:
    pairs = _pairs(arch.table)
    first = pairs[0].source
    for name in shapes:
        if name == first or name.endswith(f"/{first}"):
            match = _match_in(arch, pairs, name.removesuffix(first), shapes)
            if match is not None:
                return match
    return None


def _match_in(
    arch: Arch, pairs: tuple[Pair, ...], prefix: str, shapes: Mapping[str, tuple[int | None, ...] | None]
) -> Match | None:
    if any(prefix + pair.source not in shapes for pair in pairs if not pair.head):
        return None
    table = Table.load(arch.table)
    want = expected_shapes(arch, table, "tf")
    whole, classes = True, None
    for pair in pairs:
        shape = shapes.get(prefix + pair.source)
        if pair.head:
            if shape is None or len(shape) != len(want[pair.source]):
                whole = False
            else:
                classes = shape[-1]
        elif shape != want[pair.source]:
            return None
    known = {prefix + pair.source for pair in table.pairs("tf", "tf", table.parts)}
    return Match(arch, prefix, classes, whole, tuple(name for name in shapes if name not in known))


def title(arch: Arch, sized: bool = False) -> str:
    """Return an architecture's name as a paper writes it: ``MobileNet V1 1.0``, and its size if ``sized``."""
    return arch.title + (f" at {arch.input_size}" if sized else "")
