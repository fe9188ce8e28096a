"""recognise: which of porter's architectures a file's variables are, or contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from porter.catalog.families import is_outside
from porter.catalog.models import ARCHS, Arch
from porter.errors import PorterError
from porter.mapping.dialects import ORIGINAL
from porter.mapping.shapes import class_axis, expected_shapes
from porter.mapping.table import Pair, Table

Shapes = Mapping[str, tuple[int | None, ...] | None]
"""A file's variables and their shapes, as far as it says them."""


@dataclass(frozen=True)
class Match:
    """One architecture that a file holds.

    ``prefix`` is the scope before its names, ``classes`` its head's number of classes, None without a head. ``whole``
    tells whether its classifier is there too. ``unknown`` are the file's other variables.
    """

    arch: Arch
    prefix: str
    classes: int | None
    whole: bool
    unknown: tuple[str, ...]


def recognise(shapes: Shapes, size: int | None = None) -> list[Match]:
    """Return every architecture whose variables are among ``shapes``, those of the input ``size`` first.

    Names and shapes must be the original's; only the number of classes is free.
    """
    found = []
    for arch in ARCHS.values():
        # A family outside of porter may be half written: it is recognised once its table and golden are whole.
        with suppress(PorterError) if is_outside(arch.family) else nullcontext():
            table = Table.load(arch.table)
            found.append(_match(arch, table, table.pairs(ORIGINAL, ORIGINAL), shapes))
    return sorted(
        (match for match in found if match), key=lambda match: (not match.whole, match.arch.input_size != size)
    )


def _match(arch: Arch, table: Table, pairs: Sequence[Pair], shapes: Shapes) -> Match | None:
    first = pairs[0].source
    for name in shapes:
        if name == first or name.endswith(f"/{first}"):
            match = _match_in(arch, table, pairs, name.removesuffix(first), shapes)
            if match is not None:
                return match
    return None


def _match_in(arch: Arch, table: Table, pairs: Sequence[Pair], prefix: str, shapes: Shapes) -> Match | None:
    """Return the match of ``arch`` with ``prefix``, None where a tensor of the body is missing or differs."""
    if any(prefix + pair.source not in shapes for pair in pairs if not pair.head):
        return None
    want = expected_shapes(arch, table, ORIGINAL)
    whole, classes = True, None
    for pair in pairs:
        shape = shapes.get(prefix + pair.source)
        if not pair.head:
            if shape != want[pair.source]:
                return None
        elif shape is None or len(shape) != len(want[pair.source]):
            whole = False
        else:
            classes = shape[class_axis(pair.source_axes)]
    known = {prefix + pair.source for pair in table.pairs(ORIGINAL, ORIGINAL, table.parts)}
    return Match(arch, prefix, classes, whole, tuple(name for name in shapes if name not in known))


def title(arch: Arch, sized: bool = False) -> str:
    """Return an architecture's name as papers write it: ``MobileNet V1 1.0``, with its input size if ``sized``."""
    return arch.title + (f" at {arch.input_size}" if sized else "")
