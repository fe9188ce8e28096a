"""What happens to the classifier on the way: kept, left out, made anew, or without its background class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from porter.catalog.families import labels
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.files.labels import Labels, read_labels
from porter.formats.checkpoint import Entry
from porter.mapping.fresh import fresh
from porter.mapping.shapes import Shape, boxes_of, class_axis, expected_shapes, size_of
from porter.mapping.table import Pair, Table
from porter.mapping.translate import Translation

MOST_CLASSES = 1_000_000
BACKGROUND = "background"
"""The label of a class that no image has, the first where there is one."""


@dataclass(frozen=True)
class Head:
    """The classifier to port: the checkpoint's, or at most one of three others.

    ``no_head`` leaves it out. ``num_classes`` makes a fresh one, to be trained. ``drop_background`` drops the released
    classes' first. ``labels`` names the classes of this head, in place of the released names.
    """

    no_head: bool = False
    num_classes: int | None = None
    drop_background: bool = False
    labels: Labels | None = None

    def __post_init__(self) -> None:
        if sum((self.no_head, self.num_classes is not None, self.drop_background)) > 1:
            raise PorterError("`no_head`, `num_classes` and `drop_background` exclude each other: take one of them")
        if self.num_classes is not None and not 1 <= self.num_classes <= MOST_CLASSES:
            raise PorterError(
                f"`num_classes` must be from 1 to {MOST_CLASSES:,}, got {self.num_classes}: "
                "take `no_head=True` to leave the head out"
            )

        if self.labels is not None and self.no_head:
            raise PorterError("`labels` names classes and `no_head` leaves the classifier out: choose one of them")
        if self.labels is not None and self.num_classes is not None:
            self.labels.check(self.num_classes)

    @property
    def is_original(self) -> bool:
        """Whether the logits, or all but one of them, are still the original's."""
        return not self.no_head and self.num_classes is None

    def apply(self, translation: Translation, arch: Arch, target: str) -> Translation:
        """Return ``translation`` into the dialect ``target`` with this head.

        A ``translation`` must be headless where this head is not the original's. Raises PorterError where there is no
        background class to drop.
        """
        if self.no_head:
            return replace(translation, head_note="left out")
        if self.num_classes is not None:
            return _with_fresh_head(translation, arch, target, self.num_classes)
        if self.drop_background:
            return _without_background(translation, arch)
        if translation.num_classes == arch.num_classes - 1 and has_background(arch):
            found = translation.num_classes
            note = f"the checkpoint's {found} classes, without the background of {arch.name}, which porter cannot add"
            return replace(translation, head_note=note)
        return translation

    def class_names(self, arch: Arch, num_classes: int) -> list[str]:
        """Return the labels of the port's ``num_classes``: the user's, else the released ones, or none.

        Raises PorterError where the user's are more or fewer.
        """
        if self.labels is not None:
            self.labels.check(num_classes)
            return list(self.labels.names)
        names = released_labels(arch)
        if self.num_classes is not None:
            return []
        if self.drop_background:
            names = names[1:]
        return names if num_classes == len(names) else []


def head_beside(backbone: bool, head: Head | None, labels: str | Path | None = None) -> Head:
    """Return the head of a port: ``head``, the original by default, or none if the ``backbone`` is taken alone.

    ``labels`` is the file that names its classes.
    """
    if backbone and head is not None and head.drop_background:
        raise PorterError("`backbone` leaves the classifier out and `drop_background` needs it: choose one of them")
    bare = backbone and (head is None or head.is_original)
    if bare and labels is not None:
        raise PorterError("`backbone` leaves the classifier out and `labels` names its classes: choose one of them")
    chosen = Head(no_head=True) if bare else head or Head()
    return chosen if labels is None else replace(chosen, labels=read_labels(labels))


def released_labels(arch: Arch) -> list[str]:
    """Return the names of the released classes: those of the file, or those behind its background class."""
    names = labels(arch.labels)
    return names[1:] if names[0] == BACKGROUND and len(names) == arch.num_classes + 1 else names


def has_background(arch: Arch) -> bool:
    """Tell whether the released classes begin with a background class."""
    return released_labels(arch)[0] == BACKGROUND


def _with_fresh_head(translation: Translation, arch: Arch, target: str, num_classes: int) -> Translation:
    shapes = expected_shapes(arch, Table.of(arch), target)
    made = {pair.target: _fresh(pair, shapes[pair.target], num_classes, arch.num_classes) for pair in translation.head}
    note = f"fresh, {num_classes} classes, to be trained"
    return replace(translation, entries=translation.entries | made, num_classes=num_classes, head_note=note)


def _without_background(translation: Translation, arch: Arch) -> Translation:
    found, entries = translation.num_classes, translation.entries
    if found != arch.num_classes or not has_background(arch):
        raise PorterError(
            f"`drop_background=True` drops the background from the released {arch.num_classes} classes, "
            f"but this head has {found}: leave it out"
        )
    if boxed := next((pair.source for pair in translation.head if pair.foreground), None):
        raise PorterError(
            f"{boxed} has no box for the background, and {arch.name} needs its score to tell objects from it: leave "
            "`drop_background` out"
        )
    cut = {pair.target: _behind_background(entries[pair.target], pair, found) for pair in translation.head}
    note = f"without the background, index 0: {found - 1} classes of the checkpoint's {found}"
    return replace(translation, entries=entries | cut, num_classes=found - 1, head_note=note)


def _fresh(pair: Pair, released: Shape, num_classes: int, released_classes: int) -> Entry:
    axis, boxes = class_axis(pair.source_axes), boxes_of(pair, released, released_classes)
    return fresh(pair.target, "", (*released[:axis], size_of(pair, boxes, num_classes), *released[axis + 1 :]))


def _behind_background(old: Entry, pair: Pair, classes: int) -> Entry:
    axis, boxes = class_axis(pair.source_axes), boxes_of(pair, old.shape, classes)
    before, after = old.shape[:axis], old.shape[axis + 1 :]
    shape = (*before, boxes * (classes - 1), *after)

    def load() -> np.ndarray:
        by_box = old.load().reshape(*before, boxes, classes, *after)
        return np.take(by_box, range(1, classes), axis + 1).reshape(shape)

    return Entry(shape, old.dtype, load)
