"""width_of: the model of a file whose network is a known one with other numbers of channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from porter.catalog.models import Arch, widths
from porter.mapping.relayout import parse_axes
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table

_DIGITS = 3
"""Decimals of the multipliers tried: those with fewer come first, because they were typed."""


def width_of(arch: Arch, dialect: str, shapes: Mapping[str, Sequence[int | None]]) -> Arch | None:
    """Return the model like ``arch`` whose multiplier gives all of ``shapes``, None where none does.

    ``shapes`` holds the file's shapes under the table's names in ``dialect``; some may be missing. Free are the number
    of classes, that of image channels, and the size of a kernel that covers a whole map. Of several multipliers with
    the same channels it is the shortest decimal.
    """
    table = Table.load(arch.table)
    free = {
        pair.source: ("O" if pair.head else "") + ("I" if pair.stem else "") + ("HW" if pair.sized else "")
        for pair in table.pairs(dialect, dialect, table.parts)
    }
    axes = {pair.source: parse_axes(pair.source_axes) for pair in table.pairs(dialect, dialect, table.parts)}
    given = {name: shape for name, shape in shapes.items() if name in axes and len(shape) == len(axes[name])}
    if not given:
        return None
    known = expected_shapes(arch, table, dialect)
    widest = max(given, key=lambda name: known[name][-1] if "O" not in free[name] else 0)
    ratio = (given[widest][-1] or 0) / known[widest][-1]
    for other in widths(arch, _near(ratio * _multiplier(arch))):
        want = expected_shapes(other, table, dialect)
        if all(_fits(given[name], want[name], axes[name], free[name]) for name in given):
            return other
    return None


def _multiplier(arch: Arch) -> float:
    """Return the number that scales the channels of ``arch``, 1 where it has no such option."""
    return next((value for value in arch.options.values() if isinstance(value, float)), 1.0)


def _near(value: float) -> Iterator[float]:
    """Yield the decimals around ``value``, the shortest first."""
    for digits in range(1, _DIGITS + 1):
        unit = 10**digits
        middle = round(value * unit)
        yield from (number / unit for number in (middle, middle + 1, middle - 1) if number > 0)


def _fits(shape: Sequence[int | None], want: Sequence[int], axes: Sequence[str], free: str) -> bool:
    return all(
        size == wanted or bool(letters and letters in free)
        for size, wanted, letters in zip(shape, want, axes, strict=True)
    )
