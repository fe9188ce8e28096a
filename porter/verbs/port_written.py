"""port_written: another checkpoint of a decompiled network's graph, under the names of its module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError, MappingError, PorterError, listing, plural
from porter.export.written_network import RECORD, TABLE, write_state
from porter.files.atomic import replacing
from porter.files.json import read_json
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs
from porter.formats.open import open_checkpoint
from porter.graph.codegen.network import WEIGHTS
from porter.mapping.averages import check_average, choose_averages
from porter.mapping.relayout import relayout
from porter.mapping.rows import Pair
from porter.mapping.table import Table


@dataclass(frozen=True)
class PortedWritten:
    """A checkpoint under the names of a decompiled network. ``out`` is None if the caller named no file."""

    folder: Path
    model: str
    checkpoint: Checkpoint
    average: str
    tensors: int
    out: Path | None
    digests: Mapping[Path, str]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": True,
            "model": self.model,
            "folder": str(self.folder),
            "checkpoint": str(self.checkpoint.path),
            "average": self.average,
            "tensors": self.tensors,
            "sha256": {str(path): digest for path, digest in self.digests.items()},
            "out": str(self.out) if self.out else None,
        }


def port_written(
    folder: str | Path,
    source: str | None = None,
    target: str = "torch",
    *,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
    average: str = "auto",
    expect_sha256: Iterable[str] = (),
) -> PortedWritten:
    """Write ``checkpoint``'s weights under the names of the network in ``folder``, which decompile wrote.

    The table mapping.toml beside the source names each tensor of the graph and of the module; the graph's constants
    stay as they are. The source does not run. ``out`` is a .safetensors file, which load() of the source takes; without
    it, every tensor is read all the same. ``average`` and ``expect_sha256`` are as in porter.verbs.port.

    Raises PorterError, and writes no file, if the checkpoint is not of the graph.
    """
    folder = Path(folder)
    if source not in (None, "tf") or target != "torch":
        raise PorterError(
            f'{folder} has TensorFlow\'s and PyTorch\'s names alone: take `source="tf"` and `target="torch"`'
        )
    if checkpoint is None:
        raise PorterError(f"{folder} holds the weights that it was written with: give another `checkpoint`")
    if out is not None and not str(out).endswith(".safetensors"):
        raise PorterError(f"`out` {out} has no suffix that a decompiled network reads: end it in .safetensors")
    check_average(average)
    inputs = Inputs(list(expect_sha256))
    opened = inputs.open(checkpoint)
    inputs.close()
    pairs = Table.read(folder / TABLE).pairs("tf", "torch")
    state, average = _state(folder, opened, pairs, average)
    facts = read_json(folder / RECORD)
    if out is not None:
        stated = {"model": facts["model"], "framework": "torch", "average": average, "versions": facts["versions"]}
        with replacing(Path(out)) as draft:
            write_state(draft, state, stated)
    written = Path(out) if out is not None else None
    return PortedWritten(folder, facts["model"], opened, average, len(pairs), written, inputs.digests)


def _state(
    folder: Path, checkpoint: Checkpoint, pairs: Sequence[Pair], average: str
) -> tuple[dict[str, np.ndarray], str]:
    """Return the module's state with the checkpoint's values, and whether they are averages."""
    missing = [pair.source for pair in pairs if not _holds(checkpoint, pair.source)]
    if missing:
        raise MappingError(
            f"{checkpoint.path} lacks {plural(len(missing), 'variable')} of the graph in {folder}: name a checkpoint "
            f"of that graph{listing(missing)}"
        )
    chosen = choose_averages(checkpoint, pairs, {pair.source: pair.source for pair in pairs}, average)
    state = dict(open_checkpoint(folder / WEIGHTS))
    for pair in pairs:
        values = relayout(checkpoint[chosen.taken[pair.source]], pair.source_axes, pair.target_axes)
        if pair.target not in state or values.shape != state[pair.target].shape:
            own = state[pair.target].shape if pair.target in state else "nothing"
            raise FormatError(
                f"{checkpoint.path}: {pair.source} becomes {pair.target} of shape {values.shape}, and the network has "
                f"{own}: name a checkpoint of the graph in {folder}"
            )
        state[pair.target] = np.ascontiguousarray(values)
    return state, chosen.average


def _holds(checkpoint: Checkpoint, name: str) -> bool:
    from porter.formats.roles import SHADOW_SUFFIX

    return name in checkpoint.entries or name + SHADOW_SUFFIX in checkpoint.entries
