"""What becomes of the classifier on the way: kept, left out, made anew, or without its background class."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.files import package_data
from porter.formats.checkpoint import Entry
from porter.mapping.relayout import parse_axes
from porter.mapping.table import Pair, Table
from porter.mapping.translate import Translation, expected_shapes

FRESH_DEVIATION = 0.01
"""Standard deviation of a fresh head's kernel; its biases are zero."""
MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class Head:
    """The classifier that is asked for: as it is, none, a fresh one of ``fresh`` classes, or without background."""

    none: bool = False
    fresh: int | None = None
    drop_background: bool = False

    def __post_init__(self) -> None:
        if sum((self.none, self.fresh is not None, self.drop_background)) > 1:
            raise PorterError("--no-head, --num-classes and --drop-background exclude each other: take one of them")
        if self.fresh is not None and not 1 <= self.fresh <= MOST_CLASSES:
            raise PorterError(f"--num-classes {self.fresh} is not from 1 to {MOST_CLASSES:,}: --no-head leaves it out")

    @property
    def is_original(self) -> bool:
        """Whether the logits, or all but one of them, are still the original's."""
        return not self.none and self.fresh is None

    def apply(self, translation: Translation, arch: Arch, target: str) -> Translation:
        """Return ``translation``, headless if it is to be, with this head of the dialect ``target``.

        Raises PorterError where there is no background class to drop.
        """
        found, entries = translation.num_classes, dict(translation.entries)
        if self.none:
            return replace(translation, head_note="left out")
        if self.fresh is not None:
            shapes = expected_shapes(arch, Table.load(arch.table), target)
            for pair in translation.head:
                entries[pair.target] = _fresh(pair, shapes[pair.target], self.fresh)
            note = f"fresh, {self.fresh} classes, to be trained"
            return replace(translation, entries=entries, num_classes=self.fresh, head_note=note)
        if self.drop_background:
            if found != arch.num_classes or not has_background(arch):
                raise PorterError(
                    f"--drop-background drops the background from the released {arch.num_classes} classes, "
                    f"but this head has {found}: leave it out"
                )
            for pair in translation.head:
                entries[pair.target] = _behind_background(entries[pair.target], pair)
            note = f"without the background, index 0: {found - 1} classes of the checkpoint's {found}"
            return replace(translation, entries=entries, num_classes=found - 1, head_note=note)
        return translation

    def class_names(self, arch: Arch, num_classes: int) -> list[str]:
        """Return the labels of the port's ``num_classes``: the released ones, or none for a head of another kind."""
        names = package_data.labels(arch.labels)
        if self.fresh is not None:
            return []
        if self.drop_background:
            names = names[1:]
        return names if num_classes == len(names) else []


def has_background(arch: Arch) -> bool:
    """Tell whether the released classes begin with a background class."""
    return package_data.labels(arch.labels)[0] == "background"


def _class_axis(pair: Pair) -> int:
    return parse_axes(pair.target_axes).index("O")


def _fresh(pair: Pair, released: tuple[int, ...], num_classes: int) -> Entry:
    axis = _class_axis(pair)
    shape = (*released[:axis], num_classes, *released[axis + 1 :])
    return Entry(shape, np.dtype(np.float32), partial(_fresh_values, pair.target, shape))


def _fresh_values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    return (FRESH_DEVIATION * draw.standard_normal(shape)).astype(np.float32)


def _behind_background(old: Entry, pair: Pair) -> Entry:
    axis = _class_axis(pair)
    shape = (*old.shape[:axis], old.shape[axis] - 1, *old.shape[axis + 1 :])
    return Entry(shape, old.dtype, lambda: np.take(old.load(), range(1, old.shape[axis]), axis))
