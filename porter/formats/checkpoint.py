"""Entry and Checkpoint: what every file format is read into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porter.errors import FormatError


class Entry(NamedTuple):
    """One tensor, not yet read. ``load`` reads and checks it and returns an array of shape and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Checkpoint(Mapping[str, np.ndarray]):
    """A file's tensors by name; nothing is read before it is asked for.

    ``asides`` maps what the file holds besides variables to its role, such as a graph's constants; ``checks`` holds
    those that have a checksum, and what raises FormatError where they do not match it. ``files`` are
    all the files that it was read from, where those are more than ``path``. ``opens_as`` is the prefix under which
    TensorFlow's own reader opens it, None where it does not; ``stored_as`` holds the names that it has for
    those entries which have another name here.
    """

    path: Path
    format: str
    entries: dict[str, Entry]
    asides: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    opens_as: Path | None = None
    stored_as: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Callable[[], None]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self.asides and name not in self.entries:
            raise FormatError(
                f"{self.path}: {name} is there as {self.asides[name]}, which porter does not read yet: "
                "save it as a float32"
            )
        return self.entries[name].load()

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the tensor.
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
