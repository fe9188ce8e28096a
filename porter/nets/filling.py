"""Checks tensors against a network before a framework's builder fills it by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from porter.catalog.models import Arch
from porter.errors import MappingError, PorterError, listing, plural, summary
from porter.formats.checkpoint import Checkpoint
from porter.mapping.shapes import IMAGE_CHANNELS, classes_of, expected_shapes
from porter.mapping.stem import read_channels
from porter.mapping.stored_names import stored_names
from porter.mapping.table import Table
from porter.mapping.unfit import unfit


def head_classes(arch: Arch, table: Table, dialect: str, tensors: Checkpoint | None, asked: int | None) -> int:
    """Return the number of classes to build: ``asked``, or that of the head in ``tensors``.

    0 builds no head: ``tensors`` have none and ``asked`` is None. Raises PorterError where ``tensors`` have a head of
    another number of classes.
    """
    if tensors is None:
        return arch.num_classes if asked is None else asked
    pairs = table.pairs(dialect, dialect)
    if not any(pair.source in tensors for pair in pairs):
        finding = f"{tensors.path} has none of the tensors of {arch.name} in the dialect {dialect}"
        raise unfit(tensors, arch, dialect, finding, loads=True)
    head = next(pair for pair in pairs if pair.head)
    if head.source not in tensors:
        return asked or 0
    shape, released = tensors.entries[head.source].shape, expected_shapes(arch, table, dialect)[head.source]
    found = classes_of(head, shape, released, arch.num_classes)
    if found is None:
        finding = f"{tensors.path}: {head.source} has shape {shape}, where {arch.name} expects {released}"
        raise unfit(tensors, arch, dialect, finding, loads=True)
    if asked is not None and found != asked:
        raise PorterError(
            f"{tensors.path}: the head has another shape than the target's: {head.source} has {found} classes, "
            f"not {asked}; leave `num_classes` out to take the file's"
        )
    return found


def image_options(table: Table, dialect: str, tensors: Checkpoint | None, asked: int | None) -> dict[str, int]:
    """Return the builder's option for the images' channels: ``asked``, or those that the stem in ``tensors`` reads.

    Three channels need no option. Raises PorterError where the stem reads another number than ``asked``.
    """
    if asked is not None and asked < 1:
        raise PorterError(f"`in_channels` must be at least 1, got {asked}")
    found = IMAGE_CHANNELS if asked is None else asked
    if tensors is not None:
        found = read_channels(table, dialect, tensors)
        if asked is not None and found != asked:
            raise PorterError(
                f"{tensors.path} has weights for images of {plural(found, 'channel')}, not {asked}: "
                "leave `in_channels` out to take the file's"
            )
    return {} if found == IMAGE_CHANNELS else {"in_channels": found}


def parts_to_compare(table: Table, dialect: str, tensors: Checkpoint) -> list[str]:
    """Return the optional parts that ``tensors`` have and that compute an endpoint of ``table``."""
    pairs = [pair for pair in table.pairs(dialect, dialect, table.parts) if pair.part in table.optional.values()]
    stored = stored_names(tensors.entries, [pair.source for pair in pairs], table.record(dialect))
    return table.parts_in(dialect, [name for name, there in stored.items() if there in tensors])


def fitting(table: Table, dialect: str, tensors: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Return ``{network's name: stored name}`` of the tensors to fill the network with, without the ignored ones.

    ``shapes`` are the network's. A head that ``tensors`` lack stays as it was built, and an optional part that the
    network lacks is left out. Raises MappingError where another tensor is missing, left over or of another shape.
    """
    record = table.record(dialect)
    pairs = {pair.source: pair for pair in table.pairs(dialect, dialect, table.parts)}
    wanted = [name for name in shapes if not table.ignored(dialect, name)]
    stored = stored_names(tensors.entries, wanted, record)
    heads = {name for name, pair in pairs.items() if pair.head}
    if not heads & {name for name in wanted if stored[name] in tensors}:
        wanted = [name for name in wanted if name not in heads]
    missing = [name for name in wanted if stored[name] not in tensors]
    if missing:
        raise MappingError(f"{tensors.path} lacks {len(missing)} tensors of the network:{listing(summary(missing))}")
    unbuilt = [name for name, pair in pairs.items() if pair.part and name not in shapes]
    used = {stored[name] for name in wanted} | set(stored_names(tensors.entries, unbuilt, record).values())
    extra = [name for name in tensors if name not in used and not table.ignored(dialect, name)]
    if extra:
        raise MappingError(f"{tensors.path} has {len(extra)} tensors that the network lacks:{listing(summary(extra))}")
    for name in wanted:
        shape = tensors.entries[stored[name]].shape
        if shape != shapes[name]:
            finding = f"{tensors.path}: {name} has shape {shape}, the network's is {shapes[name]}"
            if name in pairs and pairs[name].sized:
                raise MappingError(f"{finding}: build it for the `input_size` of its training")
            raise unfit(tensors, None, dialect, finding, loads=True)
    return {name: stored[name] for name in wanted}


def common_dtype(tensors: Checkpoint | None) -> str:
    """Return the smallest dtype that holds all floats of ``tensors``; float32 where it has none."""
    entries = tensors.entries.values() if tensors is not None else ()
    dtypes = [entry.dtype for entry in entries if entry.dtype.kind == "f"]
    return str(np.result_type(*dtypes)) if dtypes else "float32"
