"""Output: everything that a writer needs to write one file."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from porter.catalog.models import Arch
from porter.export.casting import bfloat16_bits, round_to
from porter.export.provenance import Facts
from porter.files.ahead import ahead
from porter.files.progress import Track, untracked
from porter.formats.checkpoint import Checkpoint, Entry
from porter.mapping.relayout import in_c_order

GROUP = 1 << 20
"""Bytes that the reading thread hands over at once: hundreds of batch norms are not worth a handover each."""

# Bytes that HDF5 takes for each tensor besides its values, and Keras for a network's config; both rounded up.
_OVERHEAD, _ARCHITECTURE = 1 << 11, 1 << 18


@dataclass(frozen=True)
class Output:
    """The target's tensors, the dtype that files store them in, and the facts about them.

    ``model`` is None for a network that is no model of porter's. ``dtype`` is ``float16``, ``bfloat16``, or None
    for each tensor's own. ``room`` counts the bytes that a header leaves free for facts that are known only after
    the file is written.
    """

    model: Arch | None
    tensors: Checkpoint
    facts: Facts
    dtype: str | None = None
    room: int = 0
    track: Track[str] = untracked

    @property
    def arch(self) -> Arch:
        """The model that the tensors are of: the formats that need it take no other network."""
        assert self.model is not None
        return self.model

    @property
    def dialect(self) -> str:
        """The dialect whose names the tensors have."""
        return str(self.facts.values.get("dialect", self.facts.values["framework"]))

    def entry(self, name: str) -> Entry:
        """Return the tensor ``name``, rounded to ``dtype``."""
        return round_to(name, self.tensors.entries[name], self.dtype)

    def is_bfloat16(self, name: str) -> bool:
        """Tell whether files store the tensor ``name`` as bfloat16."""
        return self.dtype == "bfloat16" and self.tensors.entries[name].dtype.kind == "f"

    def stored(self, name: str) -> np.ndarray:
        """Return the tensor ``name`` as files store it: little-endian, in C order, bfloat16 as uint16 bits."""
        values = self.entry(name).load()
        if self.is_bfloat16(name):
            values = bfloat16_bits(values)
        return in_c_order(values.astype(values.dtype.newbyteorder("<"), copy=False))

    def in_turn(self, names: Sequence[str], digests: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each of ``names`` with its tensor as files store it, in this order, and put its SHA-256 in ``digests``.

        A second thread reads, checks and transposes the next tensors while the caller's hashes and writes the last.
        """
        groups = ahead(lambda group: [self.stored(name) for name in group], self._groups(names))
        made = (each for group in groups for each in group)
        for name in self.track(names, "writing"):
            values = next(made)
            digests[name] = sha256(values.data).hexdigest()
            yield name, values

    def _groups(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Yield ``names`` in groups of at most GROUP bytes and one tensor."""
        group, size = list[str](), 0
        for name in names:
            entry = self.tensors.entries[name]
            group.append(name)
            size += entry.dtype.itemsize * math.prod(entry.shape)
            if size >= GROUP:
                yield group
                group, size = [], 0
        yield group

    def require_room(self, folder: Path) -> None:
        """Raise OSError where the disk of ``folder`` is too full.

        Writers of other libraries call this first: each reports a full disk its own way, some on standard error alone.
        """
        widest = 2 if self.dtype else 8
        entries = self.tensors.entries.values()
        sizes = (min(entry.dtype.itemsize, widest) * math.prod(entry.shape) + _OVERHEAD for entry in entries)
        if shutil.disk_usage(folder).free < sum(sizes) + _ARCHITECTURE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
