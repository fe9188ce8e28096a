"""Dialects: how libraries name tensors. A dialect belongs to a framework, whose axis orders it follows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from porter.errors import MappingError
from porter.mapping.tails import ending

ORIGINAL = "tf"
"""The dialect of the original code: golden/ records variables and graphs under its names."""

Leaves = Mapping[str, str | Mapping[str, str]]


@dataclass(frozen=True)
class Dialect:
    """One library's names.

    ``separator`` is the text between a layer's name and its tensor's. ``leaves`` holds the tensor names that differ
    from the framework's: ``{role: name}``, or ``{kind: {role: name}}`` for one kind of layer. ``older_leaves`` lists
    the names that older files have for a leaf. Files of a dialect that is not ``scoped`` drop the scopes before a
    layer's name. ``title`` is the name that readers know. ``order`` lists scopes as the library's own files order
    them, a list for each level of scopes; without it, files have the table's order. ``library`` is the Python module
    with the library's networks, empty where there is none; overlay files cannot set it.
    """

    name: str
    framework: str
    separator: str
    title: str
    scoped: bool = True
    leaves: Leaves = field(default_factory=dict, hash=False)
    older_leaves: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    order: Sequence[Sequence[str]] = field(default=(), hash=False)
    library: str = ""

    def leaf(self, kind: str, role: str, default: str) -> str:
        """Return the leaf name of ``role`` in a layer of ``kind``; ``default`` is the framework's."""
        of_kind = self.leaves.get(kind, {})
        if isinstance(of_kind, Mapping) and role in of_kind:
            return of_kind[role]
        name = self.leaves.get(role, default)
        return name if isinstance(name, str) else default

    def join(self, layer: str, leaf: str) -> str:
        """Return the whole name of a tensor. A tensor without a leaf has its layer's name."""
        return f"{layer}{self.separator}{leaf}" if leaf else layer

    def rank(self, name: str) -> tuple[int, ...]:
        """Return the sort key of a tensor's name in ``order``: names without a scope of a level come last there."""
        parts = name.split(self.separator)
        return tuple(next((level.index(part) for part in parts if part in level), len(level)) for level in self.order)

    def unscoped(self, name: str) -> str:
        """Return layer and leaf of a tensor's name, without the scopes before them, which files may drop."""
        return ending(name, self.separator)


def _registry() -> dict[str, Dialect]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: Dialect(name, **fields) for name, fields in tomllib.loads(text).items()}


DIALECTS: dict[str, Dialect] = _registry()
"""The dialects that every table may use, by name. An overlay file may declare others for its table."""

FRAMEWORKS: dict[str, str] = {name: each.title for name, each in DIALECTS.items() if name == each.framework}
"""The frameworks, and the titles that readers know."""


def declare(name: str, fields: Mapping[str, Any], path: Path) -> Dialect:
    """Return the dialect ``name`` as the overlay file ``path`` declares it in ``fields``.

    What ``fields`` leaves out comes from the registry or, for a new dialect, from the framework's own dialect.
    Raises MappingError, which names ``path``.
    """
    _check_fields(name, fields, path)
    known = DIALECTS.get(name)
    if known is None:
        own = DIALECTS[fields["framework"]]
        known = replace(own, name=name, title=name, library="")
    return replace(known, **fields)


_TYPES: dict[str, type] = {
    "framework": str,
    "separator": str,
    "title": str,
    "scoped": bool,
    "leaves": dict,
    "older_leaves": dict,
    "order": list,
}


def _check_fields(name: str, fields: Mapping[str, Any], path: Path) -> None:
    unknown = sorted(fields.keys() - _TYPES.keys())
    if unknown:
        raise MappingError(f"{path}: [dialect] has the unknown keys {unknown}: choose from {', '.join(_TYPES)}")
    for key, value in fields.items():
        if not isinstance(value, _TYPES[key]):
            raise MappingError(f"{path}: [dialect] has {key} = {value!r}: expected the type {_TYPES[key].__name__}")
    if not all(isinstance(leaf, str) or _is_names(leaf) for leaf in fields.get("leaves", {}).values()):
        raise MappingError(f"{path}: [dialect] has leaves that are not names: write role = 'name'")
    if not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in fields.get("older_leaves", {}).values()
    ):
        raise MappingError(f"{path}: [dialect] has older_leaves that are not lists of names")
    if not all(isinstance(level, list) and all(isinstance(s, str) for s in level) for level in fields.get("order", [])):
        raise MappingError(f"{path}: [dialect] has an order that is not a list of scopes for each level")
    if not fields.get("separator", "/"):
        raise MappingError(f"{path}: [dialect] has an empty separator: write the text between layer and tensor")
    known = DIALECTS.get(name)
    framework = fields.get("framework", known and known.framework)
    if framework not in FRAMEWORKS:
        raise MappingError(
            f"{path}: [dialect] must set the framework of {name!r}, which porter does not know: "
            f"choose from {', '.join(FRAMEWORKS)}"
        )
    if known is not None and framework != known.framework:
        raise MappingError(f"{path}: {name!r} is a dialect of {known.framework}: leave framework out of [dialect]")


def _is_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value.values())
