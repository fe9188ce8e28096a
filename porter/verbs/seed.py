"""seed: a TensorFlow checkpoint of name-seeded weights, a stand-in with the released one's names and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.catalog.goldens import recorded, seeded_entries
from porter.catalog.models import Arch, find_arch
from porter.catalog.open_values import varied
from porter.errors import PorterError
from porter.files.atomic import creating
from porter.files.progress import Track, untracked
from porter.formats.named import refuse_other_suffix
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


def seed(
    model: str, out: str | Path, training: bool = False, track: Track[str] = untracked, **numbers: float | None
) -> SeedResult:
    """Write name-seeded weights of ``model`` to the checkpoint prefix ``out`` (.index and .data).

    ``numbers`` are those in the names of other models of the family, such as ``cells`` and ``filters`` of AmoebaNet.

    ``training`` adds what the authors' trainer also saves: an auxiliary head, global_step, and every variable's moving
    average, 1.01 times its value so that a mix-up shows. Raises PorterError if ``out`` is another checkpoint already,
    because two files cannot be replaced in one step, or if it ends in the suffix of another format.
    """
    prefix = Path(out)
    if prefix.name in ("", "..") or prefix.is_dir():
        raise PorterError(f"`out` must be a checkpoint's prefix, such as seeded.ckpt, got {str(out)!r}")
    refuse_other_suffix(
        "out", out, "seed writes a TensorFlow checkpoint: name its prefix, such as seeded.ckpt", [".ckpt"]
    )
    if not prefix.absolute().parent.is_dir():
        raise PorterError(f"the folder {prefix.parent} does not exist: make it first, or name another `out`")
    arch = varied(find_arch(model), **numbers)
    entries = seeded_entries(recorded(arch.golden), training, _variables(arch, training) if arch.base else None)
    index, data = index_file(prefix), data_file(prefix)
    with creating(prefix, [data, index]) as (new_data, new_index):
        names = track(in_order(entries), "writing")
        write_bundle(new_data, new_index, (stored(name, entries[name].load()) for name in names))
    return SeedResult(arch.name, prefix, len(entries), index.stat().st_size + data.stat().st_size)


def _variables(arch: Arch, training: bool) -> dict[str, tuple[int, ...]]:
    """Return the variables of a model without a golden of its own, and their shapes."""
    table = Table.of(arch)
    parts = table.parts if training else table.parts_in(ORIGINAL, recorded(arch.golden).variables)
    shapes = expected_shapes(arch, table, ORIGINAL)
    return {pair.source: shapes[pair.source] for pair in table.pairs(ORIGINAL, ORIGINAL, parts)}
