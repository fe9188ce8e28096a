"""Shapes and axes of a table's tensors, from what golden/ records of the original."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import prod

from porter.catalog.goldens import Recorded, recorded
from porter.catalog.models import Arch
from porter.errors import MappingError
from porter.mapping.dialects import ORIGINAL
from porter.mapping.relayout import parse_axes
from porter.mapping.rows import Layer, Named, Pair
from porter.mapping.table import Table

IMAGE_CHANNELS = 3
"""Channels of the images that every golden's network reads."""
Shape = tuple[int, ...]
Sizes = Mapping[str, int]
"""The size of each axis letter of a tensor."""


def class_axis(axes: str) -> int:
    """Return the position of the axis that counts the classes, in a tensor of the head."""
    return parse_axes(axes).index("O")


def classes_of(pair: Pair, shape: Sequence[int | None], released: Sequence[int], classes: int) -> int | None:
    """Return the number of classes of a tensor of the head; ``released`` is its shape for that many ``classes``.

    ``pair`` has the tensor as its source. A detector's axis holds the classes once for each box that it predicts at a
    place. None where ``shape`` has no such axis, or another number of boxes.
    """
    size = shape[class_axis(pair.source_axes)] if len(shape) == len(released) else None
    boxes = boxes_of(pair, released, classes)
    return None if size is None or size % boxes else size // boxes + pair.foreground


def boxes_of(pair: Pair, shape: Sequence[int], classes: int) -> int:
    """Return how many times the axis of ``classes`` holds them: the boxes at a place, 1 for a classifier.

    Of the foreground it is the numbers of a box.
    """
    return shape[class_axis(pair.source_axes)] // (classes - pair.foreground)


def size_of(pair: Pair, boxes: int, classes: int) -> int:
    """Return the size of the axis of ``classes`` that holds them for that many ``boxes``."""
    return boxes * (classes - pair.foreground)


def image_axis(axes: str) -> int:
    """Return the position of the axis that counts the images' channels, in a kernel of the stem."""
    return parse_axes(axes).index("I")


def image_channels(stem: Iterable[tuple[str, Shape]]) -> int:
    """Return the number of image channels that the ``stem`` reads: the axes and the shape of each of its tensors.

    Without a tensor of the stem it is IMAGE_CHANNELS.
    """
    found = (shape[image_axis(axes)] for axes, shape in stem if len(shape) == len(parse_axes(axes)) and "I" in axes)
    return next((channels for channels in found if channels), IMAGE_CHANNELS)


def letter_sizes(axes: str, shape: Sequence[int]) -> dict[str, int]:
    """Return the size of each letter that is an axis by itself; of a merged axis only the product is known."""
    return {letters: size for letters, size in zip(parse_axes(axes), shape, strict=True) if len(letters) == 1}


def shape_of(axes: str, sizes: Sizes) -> Shape:
    """Return the shape of a tensor with these axes. Raises MappingError where ``sizes`` lacks a letter."""
    missing = [letter for group in parse_axes(axes) for letter in group if letter not in sizes]
    if missing:
        raise MappingError(f"no tensor of the layer has the axis {missing[0]} of {axes}: its size is unknown")
    return tuple(prod(sizes[letter] for letter in group) for group in parse_axes(axes))


def axis_sizes(arch: Arch, table: Table, dialect: str) -> dict[str, dict[str, int]]:
    """Return the sizes of the axis letters of every tensor of ``dialect``, by name, as in the original.

    A tensor that the original lacks takes them from the other tensors of its layer.
    """
    golden = recorded(arch.golden)
    if golden.num_classes != arch.num_classes:
        raise MappingError(
            f"{golden.path} has {golden.num_classes} classes, but the record of {arch.name} has {arch.num_classes}: "
            "correct the record"
        )
    original, record = table.record(ORIGINAL), table.record(dialect)
    sizes_of = _designed_sizes(arch, golden) if arch.sizes is not None else _recorded_sizes(arch, table, golden)
    found = {}
    shared: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}  # thousands of tensors have few different sizes
    for layer in table.layers:
        originals = layer.tensors(original)
        own = sizes_of(layer, originals)
        layers: dict[str, int] = {letter: size for sizes in own.values() for letter, size in sizes.items()}
        for role, named in layer.tensors(record).items():
            added = _letters(named.axes) - _letters(originals[role].axes) if role in originals else ()
            # A letter that the original lacks has size 1: a dense layer is a 1x1 convolution.
            sizes = {**layers, **dict.fromkeys(added, 1), **own.get(role, {})}
            found[named.name] = shared.setdefault(tuple(sizes.items()), sizes)
    return found


SizesOf = Callable[[Layer, Mapping[str, Named]], dict[str, Sizes]]
"""A function of a layer and its tensors in the original by role, which returns the sizes of each role's letters."""


def _recorded_sizes(arch: Arch, table: Table, golden: Recorded) -> SizesOf:
    """Return the sizes of layers that the ``golden`` has. Raises MappingError where it lacks one."""
    variables = golden.all_variables

    def sizes_of(layer: Layer, originals: Mapping[str, Named]) -> dict[str, Sizes]:
        for named in originals.values():
            if named.name not in variables:
                raise MappingError(
                    f"the table {table.name} has {named.name}, which {golden.path} lacks: correct its {ORIGINAL} name"
                )
        return {
            role: _scaled(arch, layer, letter_sizes(named.axes, variables[named.name]))
            for role, named in originals.items()
        }

    return sizes_of


def _designed_sizes(arch: Arch, golden: Recorded) -> SizesOf:
    """Return the sizes of layers that the ``golden`` lacks: channels come from the design, kernels from like layers.

    Those have the same row and the same last name.
    """
    variables, channels = golden.all_variables, arch.sizes or {}
    base = Table.load(arch.table)

    def key(layer: Layer, role: str) -> tuple[str, str, str]:
        return layer.id, layer.names[ORIGINAL][0].rpartition(base.record(ORIGINAL).separator)[2], role

    like = {
        key(layer, role): letter_sizes(named.axes, variables[named.name])
        for layer in base.layers
        for role, named in layer.tensors(base.record(ORIGINAL)).items()
    }

    def sizes_of(layer: Layer, originals: Mapping[str, Named]) -> dict[str, Sizes]:
        read, wrote = channels[layer.names[ORIGINAL][0]]
        own = {"I": read, "C": read, "O": golden.num_classes if layer.head else wrote}
        return {
            role: {letter: own.get(letter, size) for letter, size in like[key(layer, role)].items()}
            for role in originals
        }

    return sizes_of


def _scaled(arch: Arch, layer: Layer, sizes: Sizes) -> dict[str, int]:
    """Return the golden's ``sizes`` of one tensor at the width of ``arch``; classes and images keep theirs."""
    fixed = ("O" if layer.head else "") + ("I" if layer.stem else "")
    return {
        letter: arch.scaled(layer.id, letter, size) if letter in "IOC" and letter not in fixed else size
        for letter, size in sizes.items()
    }


def expected_shapes(arch: Arch, table: Table, dialect: str) -> dict[str, Shape]:
    """Return the shape of every tensor of ``dialect``, by name, for the original's number of classes."""
    return shapes_of(table, dialect, axis_sizes(arch, table, dialect))


def shapes_of(table: Table, dialect: str, sizes: Mapping[str, Sizes]) -> dict[str, Shape]:
    """Return the shape of every tensor of ``dialect``, by name; ``sizes`` has those of its axis letters."""
    pairs = table.pairs(dialect, dialect, table.parts)
    return {pair.source: shape_of(pair.source_axes, sizes[pair.source]) for pair in pairs}


def with_free_axes(pair: Pair, original: Shape, given: Sequence[int | None]) -> tuple[int | None, ...]:
    """Return the ``original`` shape with the sizes of ``given`` where any will do.

    These are a head's classes, the channels of the images that a stem reads, and the height and width of a kernel that
    covers a whole map.
    """
    if len(given) != len(original):
        return original
    free = ("O" if pair.head else "") + ("HW" if pair.sized else "") + ("I" if pair.stem else "")
    axes = parse_axes(pair.source_axes)
    return tuple(
        size if axis and axis in free and size != 0 else wanted
        for size, wanted, axis in zip(given, original, axes, strict=True)
    )


@cache
def _letters(axes: str) -> frozenset[str]:
    return frozenset("".join(parse_axes(axes)))
