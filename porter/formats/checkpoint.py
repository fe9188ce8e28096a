"""Entry and Checkpoint: the form that every reader of a file format returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from porter.errors import FormatError


class Entry(NamedTuple):
    """One tensor, not yet read: ``load`` reads it, checks it and returns an array of this shape and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]


class Convolution(NamedTuple):
    """One convolution of a graph, ``op``. Everything else is named by the constant or variable that has its values.

    ``bias`` is what an op adds to the convolution's output. ``norm`` holds the tensors of the batch norm behind it, by
    role, and ``epsilon`` its float32 epsilon. Without a batch norm these are empty and 0.
    """

    op: str
    kernel: str
    bias: str | None = None
    norm: Mapping[str, str] = {}
    epsilon: float = 0.0


@dataclass(frozen=True)
class Checkpoint(Mapping[str, np.ndarray]):
    """A file's tensors by name, each read on demand.

    ``asides`` maps everything else in the file to its role, such as a graph's constants. ``checks`` maps those asides
    that have a checksum to a function that raises FormatError if it does not match. ``files`` lists all files of the
    checkpoint if there are more than ``path``. ``opens_as`` is the prefix for TensorFlow's own reader, None if that
    cannot open it. ``stored_as`` maps entries to their names in the file if those differ, and ``copies`` maps the names
    of copies in the file to the entries that they repeat. ``notes`` are sentences on
    how the file stores its tensors, and on what it leaves open. ``convolutions`` are those of a file that is a graph.
    ``unpacked`` is where the file lies if ``path`` is in an archive. ``layers`` are the names of all its layers, those
    without weights too, None if it does not list them. ``named`` is False if the file states no names of some layers,
    so that names cannot tell what it holds. ``config`` is the Keras model that the file describes, as JSON.
    ``require_whole`` raises FormatError if a file of values is missing or cut off, even behind the last entry; it reads
    none of them. Other readers find that when they open the file. So many ``threads`` may read entries at once.
    """

    path: Path
    format: str
    entries: dict[str, Entry]
    asides: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    opens_as: str | None = None
    stored_as: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Callable[[], None]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    convolutions: tuple[Convolution, ...] = ()
    unpacked: Path | None = None
    layers: frozenset[str] | None = None
    named: bool = True
    config: Any = field(default=None, repr=False)
    require_whole: Callable[[], None] = lambda: None
    threads: int = 1

    @property
    def place(self) -> Path:
        """Where the file itself lies, to be opened by others."""
        return self.unpacked or self.path

    def entry_of(self) -> dict[str, str]:
        """Return the entry of each name in the file."""
        own = {name: name for name in self.entries if name not in self.stored_as}
        return {**self.copies, **own, **{key: name for name, key in self.stored_as.items()}}

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self.asides and name not in self.entries:
            raise FormatError(
                f"{self.path}: {name} is stored as {self.asides[name]}, which porter does not read yet: "
                "save it as float32"
            )
        return self.entries[name].load()

    def __contains__(self, name: object) -> bool:
        # Mapping's own method would read the tensor.
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
