"""The files of a table: its own, those of the tables that it extends or embeds, and the overlays beside each."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from porter.errors import MappingError
from porter.mapping.table_types import check_overlay, check_table

Sources: TypeAlias = "tuple[Source, ...]"
"""The files of one table, after those of the table that it extends."""


class Source(NamedTuple):
    """One table's text, the paths and texts of its overlays, and the files of each table that it embeds."""

    path: Path
    text: str
    overlays: tuple[tuple[Path, str], ...]
    embedded: tuple[Sources, ...] = ()


def read_sources(path: Path, seen: tuple[Path, ...] = ()) -> Sources:
    """Return the files of the table in ``path``, after those of the table that it extends. Raises MappingError."""
    if path in seen:
        raise MappingError(f"{path} extends itself: name another table in extends or embed")
    text = _text(path)
    overlays = tuple((each, _text(each)) for each in _overlays(path))
    raw = parse_table(path, text)

    def of(name: str) -> Sources:
        return read_sources(path.parent / f"{name}.toml", (*seen, path))

    own = Source(path, text, overlays, tuple(of(entry["table"]) for entry in raw.get("embed", ())))
    return (*of(raw["extends"]), own) if "extends" in raw else (own,)


def with_axes(base: Source, axes: Mapping[str, Mapping[str, Sequence[Any]]]) -> Source:
    """Return a table that extends ``base`` by replacing ``axes``, as if a file said so."""
    columns = (
        f"[axis.{axis}]\n" + "".join(f"{column} = {json.dumps(list(cells))}\n" for column, cells in found.items())
        for axis, found in axes.items()
    )
    return Source(base.path, "\n".join(columns), base.overlays)


def dialect_of(overlay: Path) -> str:
    """Return the dialect of an overlay file, which follows the table's name: ``mobilenet_v1.timm.toml``."""
    return overlay.stem.rpartition(".")[2]


def _overlays(path: Path) -> list[Path]:
    named = re.compile(re.escape(path.stem) + r"\.[A-Za-z]\w*\.toml")
    # A path, or a match, for each of the other tables' files would take most of the time.
    beside = sorted(each for each in os.listdir(path.parent) if each.startswith(f"{path.stem}."))
    return [path.with_name(each) for each in beside if named.fullmatch(each)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MappingError(f"{path} does not exist: an architecture needs its mapping table") from None
    except OSError as error:
        raise MappingError(f"{path} cannot be read ({error.strerror}): name a mapping table, a .toml file") from None
    except ValueError as error:
        raise MappingError(f"{path} is not valid TOML: {error}") from None


@lru_cache(maxsize=64)
def parse_table(path: Path, text: str) -> dict[str, Any]:
    """Return a table's TOML, its types checked. The caller must not change it."""
    raw = _parse(path, text)
    check_table(raw, path)
    return raw


@lru_cache(maxsize=64)
def parse_overlay(path: Path, text: str) -> dict[str, Any]:
    """Return an overlay's TOML, its types checked. The caller must not change it."""
    raw = _parse(path, text)
    check_overlay(raw, path)
    return raw


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise MappingError(f"{path} is not valid TOML: {error}") from None
