"""reference_weights: the values of the original's variables, under TensorFlow's names and in its axis order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import ORIGINAL
from porter.mapping.relayout import relayout
from porter.mapping.shapes import axis_sizes
from porter.mapping.table import Table
from porter.mapping.translate import Translation

Reader = Callable[[Iterable[str]], Mapping[str, np.ndarray]]
"""Reads entries of a checkpoint by name."""


def reference_weights(translation: Translation, arch: Arch, read: Reader) -> dict[str, np.ndarray]:
    """Return ``{TensorFlow's variable name: array}``: the entries that ``translation`` takes, read by ``read``.

    The arrays have TensorFlow's axis order and the dtypes of the checkpoint. From other names than the original's,
    ``translation`` leads to those: its entries hold the roles that the file's dialect lacks.
    """
    taken, table, source = translation.taken, Table.of(arch), translation.source
    pairs = [pair for pair in table.pairs(source, ORIGINAL, table.parts) if pair.source in taken]
    made = {name: translation.made[name].load() for name in taken.values() if name in translation.made}
    values = {**read([taken[pair.source] for pair in pairs if taken[pair.source] not in made]), **made}
    sizes = axis_sizes(arch, table, source)
    found = {
        pair.target: relayout(values[taken[pair.source]], pair.source_axes, pair.target_axes, sizes[pair.source])
        for pair in pairs
    }
    if source != ORIGINAL:
        found |= {name: entry.load() for name, entry in translation.entries.items() if name not in found}
    return found


def porters_reader(checkpoint: Checkpoint) -> Reader:
    """Return the reader that needs no TensorFlow."""
    return lambda entries: {name: checkpoint[name] for name in entries}


def constants_reader(path: Path) -> Reader:
    """Return TensorFlow's own reading of the constants in the frozen graph ``path``."""

    def read(entries: Iterable[str]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        from porter.formats.tensorflow.source import load_graph

        nodes = {node.name: node for node in load_graph(path).node}
        return {
            name: tf.make_ndarray(tf.compat.v1.NodeDef.FromString(nodes[name].SerializeToString()).attr["value"].tensor)
            for name in entries
        }

    return read


def tensorflows_reader(checkpoint: Checkpoint) -> Reader:
    """Return TensorFlow's own reader, for a checkpoint that it opens."""
    prefix = checkpoint.opens_as
    assert prefix is not None

    def read(entries: Iterable[str]) -> dict[str, np.ndarray]:
        from porter.runners.tensorflow import read_variables

        keys = {name: checkpoint.stored_as.get(name, name) for name in entries}
        values = read_variables(prefix, dict.fromkeys(keys.values()))
        return {name: values[key] for name, key in keys.items()}

    return read
