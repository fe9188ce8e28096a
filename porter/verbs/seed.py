"""seed: a TensorFlow checkpoint of name-seeded weights, a stand-in with the released one's names and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.catalog.goldens import recorded, seeded_entries
from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.files.atomic import creating
from porter.files.progress import Track, untracked
from porter.formats.tensorflow.bundle_writer import data_file, in_order, index_file, stored, write_bundle
from porter.mapping.dialects import ORIGINAL
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table


@dataclass(frozen=True)
class SeedResult:
    """The written checkpoint: its prefix, its number of tensors, and its size in bytes."""

    model: str
    out: Path
    tensors: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {"model": self.model, "out": str(self.out), "tensors": self.tensors, "bytes": self.bytes}


def seed(model: str, out: str | Path, training: bool = False, track: Track[str] = untracked) -> SeedResult:
    """Write name-seeded weights of ``model`` to the checkpoint prefix ``out`` (.index and .data).

    ``training`` adds what the authors' trainer also saves: an auxiliary head, global_step, and every variable's moving
    average, 1.01 times its value so that a mix-up shows. Raises PorterError if ``out`` is another checkpoint already,
    because two files cannot be replaced in one step.
    """
    prefix = Path(out)
    if prefix.name in ("", "..") or prefix.is_dir():
        raise PorterError(f"`out` must be a checkpoint's prefix, such as seeded.ckpt, got {str(out)!r}")
    if not prefix.absolute().parent.is_dir():
        raise PorterError(f"the folder {prefix.parent} does not exist: make it first, or name another `out`")
    arch = find_arch(model)
    shapes = expected_shapes(arch, Table.load(arch.table), ORIGINAL) if arch.base else None
    entries = seeded_entries(recorded(arch.golden), training, shapes)
    index, data = index_file(prefix), data_file(prefix)
    with creating(prefix, [data, index]) as (new_data, new_index):
        names = track(in_order(entries), "writing")
        write_bundle(new_data, new_index, (stored(name, entries[name].load()) for name in names))
    return SeedResult(arch.name, prefix, len(entries), index.stat().st_size + data.stat().st_size)
