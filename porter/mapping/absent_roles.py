"""Tensors that one dialect has and another lacks: created on the way there, required to change nothing on the way back.

slim's Inception has no gamma, where timm's has: translating to timm creates gammas of 1. Translating back drops them,
which is right only where every one of them is 1. A checkpoint may lack a role too: MobileNet trained without gamma.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial

import numpy as np

from porter.errors import MappingError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import has_variable
from porter.mapping.dialects import Dialect
from porter.mapping.rows import Layer, Lone, Named, pair
from porter.mapping.shapes import Sizes, letter_sizes, shape_of
from porter.mapping.table import Table


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


def never_there(
    table: Table, dialect: Dialect, names: Mapping[str, str], entries: Collection[str], whole: Collection[str]
) -> list[Lone]:
    """Return the tensors of each role with a fill that no layer of its kind has in ``entries``.

    ``names`` maps the tensors of ``dialect`` that are asked for to those of the file; layers with a tensor of ``whole``
    do not count. Where some layers have the role, or where one layer alone has the kind, the file is damaged instead.
    """
    layers: dict[str, list[tuple[Layer, dict[str, Named], set[str]]]] = {}
    for layer in table.layers:
        tensors = {role: named for role, named in layer.tensors(dialect).items() if named.name in names}
        there = {role for role, named in tensors.items() if has_variable(names[named.name], entries)}
        if there and not layer.head and not any(names[named.name] in whole for named in tensors.values()):
            layers.setdefault(layer.kind_in(dialect.name), []).append((layer, tensors, there))
    found = []
    for alike in layers.values():
        for role, named in alike[0][1].items():
            if len(alike) > 1 and named.tensor.fill is not None and not any(role in there for *_, there in alike):
                found += [_alone(role, *each, dialect) for each in alike if role in each[1]]
    return found


def _alone(role: str, layer: Layer, tensors: Mapping[str, Named], there: Collection[str], dialect: Dialect) -> Lone:
    """Return the tensor of ``role`` that the file lacks, beside those of its layer that are ``there``."""
    beside = tuple(pair(layer, tensors[each], tensors[each], dialect.name) for each in tensors if each in there)
    own = tensors[role]
    return Lone(pair(layer, own, own, dialect.name), role, own.tensor.absent_value(), beside)
