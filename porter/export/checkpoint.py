"""Writes TensorFlow's V2 checkpoints: index, data file, and the original's graph as .meta where it fits."""

from __future__ import annotations

from pathlib import Path

from porter.errors import PorterError
from porter.export.output import Output
from porter.export.recorded_graph import fitted_graph, trainable
from porter.formats.tensorflow.bundle_writer import (
    data_file,
    in_order,
    index_file,
    meta_file,
    stored,
    write_bundle,
)
from porter.mapping.dialects import ORIGINAL


def checkpoint_files(prefix: Path) -> tuple[Path, ...]:
    """Return the files of the checkpoint ``prefix``, the index last."""
    return data_file(prefix), meta_file(prefix), index_file(prefix)


def write_checkpoint(index: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as the checkpoint of ``index``, one tensor at a time, and return each tensor's SHA-256.

    The checkpoint has no .meta where the original's graph is unknown or does not fit its tensors.
    """
    prefix, digests = index.with_suffix(""), dict[str, str]()

    tensors = output.in_turn(in_order(output.tensors), digests)
    write_bundle(data_file(prefix), index, (stored(*each, output.is_bfloat16(each[0])) for each in tensors))
    _write_meta(meta_file(prefix), output)
    return digests


def _write_meta(meta: Path, output: Output) -> None:
    from porter.graph.rewrite.saver import with_saver

    if output.dialect != ORIGINAL:
        return
    try:
        graph = fitted_graph(output)
    except PorterError:  # a checkpoint needs none
        return
    meta.write_bytes(with_saver(graph, trainable(output.arch)).SerializeToString(deterministic=True))
