"""The stem: how many channels the images have that a file's weights are for."""

from __future__ import annotations

from porter.formats.checkpoint import Checkpoint
from porter.mapping.shapes import image_channels
from porter.mapping.stored_names import stored_names
from porter.mapping.table import Table


def read_channels(table: Table, dialect: str, tensors: Checkpoint) -> int:
    """Return the number of image channels of ``tensors``, which have the names of ``dialect``.

    Without a tensor of the stem it is that of the original.
    """
    stem = {pair.source: pair.source_axes for pair in table.pairs(dialect, dialect) if pair.stem}
    stored = stored_names(tensors.entries, stem, table.record(dialect))
    there = ((stem[name], tensors.entries[name_there]) for name, name_there in stored.items() if name_there in tensors)
    return image_channels((axes, entry.shape) for axes, entry in there)
