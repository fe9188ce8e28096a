"""The files of a model folder: weights, and the papers beside them, in porter's own layout or in a library's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.catalog.models import Arch
from porter.export.card import write_card
from porter.export.library_folders import require_network, write_hf, write_hf_weights, write_timm
from porter.export.safetensors import add_metadata
from porter.export.writers import Format
from porter.files.seals import write_record
from porter.formats.identify import RECORD_NAMES
from porter.formats.input_digests import digest
from porter.mapping.dialects import Dialect

CONFIG, OWN_RECORD = RECORD_NAMES
LABELS, CARD = "labels.txt", "README.md"


def _write_own(folder: Path, facts: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Write the labels in class order, unless there are none, and the card."""
    if labels:
        (folder / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
    write_card(folder / CARD, facts, LABELS, CONFIG)


@dataclass(frozen=True)
class Layout:
    """One layout of a folder.

    ``weights`` is the name of the weights' file, written in ``format`` or in the one of its suffix, ``record`` that of
    porter's facts and digests. ``papers`` writes what
    else the folder holds, for the facts and the labels in class order. ``files`` are the names of all of them.
    ``require`` raises PorterError if a model in a dialect has no such folder.
    """

    weights: str
    record: str
    papers: Callable[[Path, Mapping[str, Any], Sequence[str]], None]
    files: frozenset[str]
    require: Callable[[Arch, str], object] = lambda _arch, _dialect: None
    format: Format | None = None


def _own(weights: str) -> Layout:
    return Layout(weights, CONFIG, _write_own, frozenset({weights, CONFIG, LABELS, CARD}))


_SAFETENSORS = "model.safetensors"
_LIBRARYS = frozenset({_SAFETENSORS, CONFIG, OWN_RECORD, CARD})

LAYOUTS: dict[str, Layout] = {
    "tf": _own(_SAFETENSORS),
    "torch": _own(_SAFETENSORS),
    "keras": _own("model.keras"),
    "timm": Layout(_SAFETENSORS, OWN_RECORD, write_timm, _LIBRARYS, require_network),
    "hf": Layout(
        *(_SAFETENSORS, OWN_RECORD, write_hf, _LIBRARYS | {"preprocessor_config.json"}, require_network),
        format=Format(write_hf_weights, add_metadata),
    ),
}
"""The layouts of the frameworks, and of those dialects whose library reads folders of its own."""
FILES = frozenset[str]().union(*(layout.files for layout in LAYOUTS.values()))
"""Every file that porter writes into a model folder."""


def layout_of(dialect: Dialect) -> Layout:
    """Return the layout of the folders of ``dialect``: its own, or that of its framework."""
    return LAYOUTS.get(dialect.name) or LAYOUTS[dialect.framework]


def write_papers(
    folder: Path, layout: Layout, facts: Mapping[str, Any], labels: Iterable[str], tensors: Mapping[str, str]
) -> None:
    """Write the papers of ``layout`` beside the weights in ``folder``, and the record last.

    It holds ``facts``, the digests of all other files, and those of the ``tensors`` that no file states.
    """
    layout.papers(folder, facts, list(labels))
    files = {path.name: digest(path) for path in sorted(folder.iterdir())}
    write_record(folder / layout.record, facts, files, tensors)
