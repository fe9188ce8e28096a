"""Type checks of a table's TOML and of an overlay's: each value has the type that its place asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from porter.errors import MappingError
from porter.mapping.dialects import DIALECTS

Row = Mapping[str, Any]
"""A row of a table, as TOML has it."""
ROW_KEYS = {
    "layer": {
        "id": str,
        "kind": str,
        "kinds": dict,
        "over": list,
        "head": bool,
        "foreground": bool,
        "stem": bool,
        "part": str,
        "sized": bool,
        "lacks": dict,
    },
    "endpoint": {
        "name": str,
        "over": list,
        "logits": bool,
        "scores": bool,
        "softmax": str,
        "part": str,
        "cropped": str,
        "inner": bool,
    },
}
"""The keys of a row besides the dialects', with their types."""
EMBED_KEYS: dict[str, type] = {"table": str, "without": list, "lacks": dict, "axis": dict, "after": str}
"""The keys of an [[embed]] besides the dialects', with their types."""
TABLE_KEYS = {"source", "dialects", "ignore", "part", "axis", "embed", "layer", "endpoint", "differs", "network"}
_OVERLAY_KEYS = {"dialect", "alike", "without", "needs", "ignore", "axis", "layer", "endpoint", "differs", "network"}
_ENTRY_KEYS = {"name", "kind", "lacks"}


def refuse(path: Path, what: str) -> NoReturn:
    """Raise MappingError: the table in ``path`` is wrong."""
    raise MappingError(f"{path}: the table {what}")


def check_table(raw: Mapping[str, Any], path: Path) -> None:
    """Raise MappingError where a value of a table has the wrong type."""
    ignored, parts = raw.get("ignore", {}), raw.get("part", {})
    if not isinstance(raw.get("extends", ""), str):
        refuse(path, f"extends {raw['extends']!r}: name a table")
    if not _words(raw.get("dialects", [])):
        refuse(path, "has dialects that are not a list of names")
    if not isinstance(ignored, dict) or not all(map(_words, ignored.values())):
        refuse(path, "has an ignore that is not a list of patterns for each dialect")
    if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        refuse(path, "has a [part] that does not name each part in words")
    _check_axes(raw, path)
    _check_embeds(raw, path)
    _check_differs(raw, path)
    networks = raw.get("network", {})
    if not isinstance(networks, dict) or not all(isinstance(entry, dict) for entry in networks.values()):
        refuse(path, "has a network that is not a table: begin each with [network.DIALECT]")
    for section in ROW_KEYS:
        rows = raw.get(section, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            refuse(path, f"has a {section} that is not a row: begin each with [[{section}]]")
        for row in rows:
            _check_row(section, row, path)


def check_overlay(raw: Mapping[str, Any], path: Path) -> None:
    """Raise MappingError where an overlay has unknown keys or a value of the wrong type."""
    unknown = sorted(raw.keys() - _OVERLAY_KEYS)
    if unknown:
        refuse(path, f"has unknown keys {unknown}: an overlay takes {', '.join(sorted(_OVERLAY_KEYS))}")
    if not _words(raw.get("ignore", [])):
        refuse(path, "has an ignore that is not a list of patterns")
    if not isinstance(raw.get("alike", ""), str):
        refuse(path, f"is alike {raw['alike']!r}: name a dialect")
    for key in ("without", "needs"):
        if not _words(raw.get(key, [])):
            refuse(path, f"has a {key} that is not a list of parts")
    _check_axes(raw, path)
    _check_differs(raw, path)
    for section in ("dialect", "layer", "endpoint", "network"):
        if not isinstance(raw.get(section, {}), dict):
            refuse(path, f"has a {section} that is not a table: begin it with [{section}]")
    for name, place in raw.get("endpoint", {}).items():
        if not isinstance(place, str):
            refuse(path, f"has the endpoint {name} = {place!r}: name a layer")
    for row, entry in raw.get("layer", {}).items():
        _check_entry(row, entry, path)


def _check_differs(raw: Mapping[str, Any], path: Path) -> None:
    entries = raw.get("differs", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        refuse(path, "has a differs that is not a list: begin each entry with [[differs]]")


def _check_embeds(raw: Mapping[str, Any], path: Path) -> None:
    entries = raw.get("embed", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        refuse(path, "has an embed that is not a list: begin each entry with [[embed]]")
    for entry in entries:
        unknown = sorted(entry.keys() - EMBED_KEYS.keys() - DIALECTS.keys())
        if unknown:
            refuse(path, f"has an embed with unknown keys {unknown}: it takes {', '.join(EMBED_KEYS)} and dialects")
        for key, value in entry.items():
            kind = EMBED_KEYS.get(key, str)
            if not (_words(value) if kind is list else isinstance(value, kind)):
                refuse(path, f"has an embed whose {key} is {value!r}, which has the wrong type")
        if "table" not in entry:
            refuse(path, "has an embed that names no table")
        _check_axes(entry, path)


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _check_axes(raw: Mapping[str, Any], path: Path) -> None:
    axes = raw.get("axis", {})
    if not isinstance(axes, dict) or not all(isinstance(axis, dict) for axis in axes.values()):
        refuse(path, "has an axis that is not a table of columns")
    if not all(isinstance(column, list) for axis in axes.values() for column in axis.values()):
        refuse(path, "has an axis whose columns are not lists")


def _check_row(section: str, row: Mapping[str, Any], path: Path) -> None:
    for key, value in row.items():
        kind = ROW_KEYS[section].get(key, str)
        fits = _words(value) if kind is list else isinstance(value, kind)
        if key == "lacks":
            fits = fits and all(map(_words, value.values()))
        if key == "kinds":
            fits = fits and all(isinstance(other, str) for other in value.values())
        if section == "layer" and key in DIALECTS and isinstance(value, list):
            fits = _words(value)
        if not fits:
            refuse(path, f"has a {section} whose {key} is {value!r}, which has the wrong type")


def _check_entry(row: str, entry: Any, path: Path) -> None:
    """Check the entry of one row in an overlay: a name, a list of names, or a table of name, kind and lacks."""
    given = entry if isinstance(entry, dict) else {"name": entry}
    unknown = sorted(given.keys() - _ENTRY_KEYS)
    if unknown:
        refuse(path, f"has the layer {row} with unknown keys {unknown}: it takes {', '.join(sorted(_ENTRY_KEYS))}")
    names = given.get("name", "" if given.keys() & {"kind", "lacks"} else None)
    if names != "" and (not names or not (isinstance(names, str) or (_words(names) and all(names)))):
        refuse(path, f"has the layer {row} without a name")
    if not isinstance(given.get("kind", ""), str) or not _words(given.get("lacks", [])):
        refuse(path, f"has the layer {row} whose kind is not a name or whose lacks is not a list of roles")
