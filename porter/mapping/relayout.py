"""Relayout: moves, splits and merges a tensor's axes as two axis orders say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from porter.errors import MappingError


def parse_axes(axes: str) -> list[str]:
    """Return the letters of each axis: ``"(CM)1HW"`` is ``["CM", "", "H", "W"]``.

    A letter is an axis, ``1`` an axis of size one, and parentheses merge letters into one axis,
    the last varying fastest.
    """
    tokens = re.findall(r"\([A-Z]{2,}\)|[A-Z1]", axes)
    letters = [token.strip("()1") for token in tokens]
    if "".join(tokens) != axes or len(set("".join(letters))) != len("".join(letters)):
        raise MappingError(f"{axes!r} is not an axis order: write each letter once, like HWIO or (CM)1HW")
    return letters


def relayout(array: np.ndarray, source: str, target: str, sizes: Mapping[str, int] | None = None) -> np.ndarray:
    """Return ``array`` with its ``source`` axes in the order of ``target``; a view where possible.

    ``relayout(kernel, "HWIO", "OIHW")`` takes a TensorFlow kernel to PyTorch. A letter on one side
    only must have size 1. ``sizes`` gives the sizes of letters that ``source`` merges, all but one.

    Raises MappingError where the array does not have the axes that ``source`` names.
    """
    groups = parse_axes(source)
    if len(groups) != array.ndim:
        raise MappingError(f"an array of shape {array.shape} does not have the axes {source}")
    known = dict(sizes or {})
    for size, letters in zip(array.shape, groups, strict=True):
        known.update(_split(size, letters, known, source))

    from_letters, to_letters = "".join(groups), "".join(parse_axes(target))
    for letter in from_letters:
        if letter not in to_letters and known[letter] != 1:
            raise MappingError(
                f"axis {letter} of {source} has size {known[letter]}, but {target} lacks it: only size 1 can go"
            )
    array = array.reshape([known[letter] for letter in from_letters if letter in to_letters])
    kept = [letter for letter in from_letters if letter in to_letters]
    array = array.transpose([kept.index(letter) for letter in to_letters if letter in kept])
    shape = [int(np.prod([known.get(c, 1) if c in kept else 1 for c in group])) for group in parse_axes(target)]
    return array.reshape(shape)


def relayout_shape(
    shape: Sequence[int], source: str, target: str, sizes: Mapping[str, int] | None = None
) -> tuple[int, ...]:
    """Return the shape that ``relayout`` gives an array of ``shape``. Raises MappingError as it does."""
    return relayout(np.broadcast_to(np.int8(0), shape), source, target, sizes).shape


def _split(size: int, letters: str, known: Mapping[str, int], axes: str) -> dict[str, int]:
    """Return the size of each of ``letters``, which together span one axis of ``size``."""
    if len(letters) < 2:
        if size != 1 and not letters:
            raise MappingError(f"axis 1 of {axes} must have size 1, got size {size}")
        return dict.fromkeys(letters, size)
    unknown = [letter for letter in letters if letter not in known]
    given = int(np.prod([known[letter] for letter in letters if letter in known]))
    if len(unknown) > 1 or size % given or (not unknown and given != size):
        raise MappingError(
            f"cannot split an axis of size {size} into {letters} of {axes}: give the sizes of all but one"
        )
    return {letter: known.get(letter, size // given) for letter in letters}
