"""library_side: runs a library's own network, built by its public constructor, with the weights of the comparison.

A side names the library or its dialect: timm, hf, keras.applications. Its defaults may compute another function than
the original; ``timm:exact`` has the settings that make it exact, from the table's [[differs]].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from porter.errors import PorterError
from porter.files.installed import versions
from porter.mapping.dialects import DIALECTS, ORIGINAL, Dialect
from porter.mapping.differs import exact_settings, sentences, written_settings
from porter.mapping.shapes import class_axis
from porter.runners.context import Context
from porter.runners.runner import Runner
from porter.runners.runner_of import runner_of
from porter.runners.side import Side
from porter.runners.tensorflow_settings import before_tensorflow

EXACT = "exact"


def named_library(spec: str) -> Dialect | None:
    """Return the dialect of the library that the side ``spec`` names, None where it names none."""
    name = spec.partition(":")[0]
    for record in DIALECTS.values():
        names = {record.library, record.library.partition(".")[0], record.name} - {record.framework}
        if record.library and name in names:
            return record
    return None


def library_side(spec: str, context: Context) -> Side:
    """Return the side of a library's own network. Raises PorterError where it cannot be built."""
    from porter.nets.library import build_library, library_network

    record = named_library(spec)
    assert record is not None
    _, _, how = spec.partition(":")
    if how not in ("", EXACT):
        raise PorterError(f"unknown side {spec!r}: choose {record.library} or {record.library}:{EXACT}")
    before_tensorflow()
    _, network = library_network(context.arch, record.name)
    settings = _settings(record, context) if how else {}
    tensors = context.tensors(record.name)
    heads = [pair for pair in context.table.pairs(record.name, record.name) if pair.head and pair.source in tensors]
    if not heads:
        raise PorterError(f"{tensors.path} has no classifier, and {record.library} builds its network with one")
    classes = tensors.entries[heads[0].source].shape[class_axis(heads[0].source_axes)]
    module = build_library(context.arch, record.name, tensors, classes, context.size, context.channels, **settings)
    differing = [entry for entry in context.table.differs if entry.at(context.size) and not how]
    known = tuple(sentences(differing, ORIGINAL, record.name, None))
    runner = LibraryRunner(runner_of(module, context.table, dialect=record.name), _label(record), known)
    built = f" with {written_settings(settings)}" if settings else ""
    return Side(record.name, f"{runner.label}'s own network, {network.constructor_of(context.arch)}{built}", runner)


class LibraryRunner(Runner):
    """Runs a library's own network. ``known`` are sentences on the function that it computes."""

    partial = True
    reshapes = True

    def __init__(self, runner: Runner, label: str, known: Sequence[str]) -> None:
        self.runner, self.label, self.precisions = runner, label, runner.precisions
        self.known = known

    @property
    def notes(self) -> Sequence[str]:
        """What the table says of the library's function."""
        return self.known

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return self.runner(images)


def _settings(record: Dialect, context: Context) -> dict[str, Any]:
    """Return the settings that make the library exact. Raises PorterError where it differs and none do."""
    for entry in context.table.differs:
        if entry.dialect == record.name and not entry.settings and entry.at(context.size):
            raise PorterError(
                f"no settings make {entry.library} exact: {entry.why}; leave :{EXACT} out to measure the difference"
            )
    return exact_settings(context.table.differs, record.name)


def _label(record: Dialect) -> str:
    """Return the library's name with its version."""
    package = record.library.partition(".")[0]
    return f"{record.library} {versions([package]).get(package, '')}".rstrip()
