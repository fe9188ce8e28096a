"""Tensors that one dialect has and another lacks: created on the way there, required to change nothing on the way back.

slim's Inception has no gamma, where timm's has: translating to timm creates gammas of 1. Translating back drops them,
which is right only where every one of them is 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from porter.errors import MappingError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.mapping.rows import Lone
from porter.mapping.shapes import Sizes, letter_sizes, shape_of


def check_fills(tensors: Iterable[Lone], taken: Mapping[str, str], checkpoint: Checkpoint, target: str) -> None:
    """Read the tensors that ``target`` lacks. Raises MappingError where one has any value but its fill."""
    for lone in tensors:
        name = taken.get(lone.own.source)
        if name is None:
            continue
        values = checkpoint[name]
        other = values != lone.fill
        if other.any():
            raise MappingError(
                f"{checkpoint.path}: {name} must be {lone.fill:g} everywhere, because {target} has no {lone.role} "
                f"there, but {int(other.sum())} of its {values.size} values differ, such as {values[other][0]:g}: "
                "choose a `target` that has it"
            )


def created(tensors: Iterable[Lone], read: Mapping[str, Entry], sizes: Mapping[str, Sizes]) -> dict[str, Entry]:
    """Return the target's tensors that the source lacks, full of their fill.

    ``read`` holds the source's entries by the table's names. A layer's entries give the shape and the dtype; ``sizes``
    are those of the original, for letters that only a merged axis has. Layers that are not read have no tensors here.
    """
    entries = {}
    for lone in tensors:
        beside = [pair for pair in lone.beside if pair.source in read]
        if beside:
            known = dict(sizes[lone.own.source])
            for pair in beside:
                known |= letter_sizes(pair.source_axes, read[pair.source].shape)
            shape = shape_of(lone.own.source_axes, known)
            dtype = read[beside[0].source].dtype
            entries[lone.own.source] = Entry(shape, dtype, partial(np.full, shape, lone.fill, dtype))
    return entries
