"""ARCHS: the records of all models, read from ``models.toml`` in the folder of each family.

Reading records imports no framework and no network. Code is imported by name when a network is built.

``models.toml`` holds one ``[[model]]`` per model, with the fields of ``Arch``. Fields at the top of the file are the
defaults of every model. ``over`` lists the values of placeholders and stands for one model per combination. In any
text, ``{placeholder}`` or ``{name}`` is replaced; a text that is one placeholder becomes its value. ``[aliases]`` maps
another name to a model.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any

from porter.catalog.families import Family, families, import_net
from porter.errors import PorterError


@dataclass(frozen=True)
class Arch:
    """One released model.

    ``family`` is its folder's name. ``title`` is its name as a paper writes it, without the input size. ``table`` is
    its mapping table. ``input_size`` is the side of its square training images in pixels. ``num_classes`` counts the
    released classes, background included, and ``labels`` names their file in labels/. ``preprocessing`` names a preset.

    ``builders`` maps a framework to a function in the family's ``<framework>.py``. The function takes ``num_classes``
    (0 for the features alone), the ``options``, and the name of every optional part of the table. With such a part,
    and always in Keras, it takes ``input_size``; in Keras ``dtype`` too.
    """

    family: str
    name: str
    title: str
    table: str
    input_size: int
    num_classes: int
    preprocessing: str
    labels: str
    builders: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def builder(self, framework: str) -> Callable[..., Any]:
        """Import the family's module for ``framework`` and return the function that builds the network."""
        module, function = import_net(self.family, framework), self.builders[framework]
        builder: Callable[..., Any] | None = getattr(module, function, None)
        if builder is None:
            raise PorterError(f"{module.__file__} has no function {function}, which {self.name} needs: write it")
        return builder


_TYPES: dict[str, type] = {"input_size": int, "num_classes": int, "builders": dict, "options": dict}
"""The types of a record's fields, str where they are not listed."""
_FIELDS = {one.name: one for one in fields(Arch) if one.name not in ("family", "aliases")}
_REQUIRED = {name for name, one in _FIELDS.items() if one.default_factory is MISSING}


class _Archs(Mapping[str, Arch]):
    """The records by name, of porter's own families and of those that PORTER_FAMILIES lists at the time of the call."""

    def __getitem__(self, name: str) -> Arch:
        return _read(families())[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_read(families()))

    def __len__(self) -> int:
        return len(_read(families()))


ARCHS: Mapping[str, Arch] = _Archs()


@cache
def _read(found: tuple[Family, ...]) -> dict[str, Arch]:
    archs: dict[str, Arch] = {}
    for family in found:
        for arch in _family_archs(family):
            taken = {name: other for other in archs.values() for name in (other.name, *other.aliases)}
            for name in (arch.name, *arch.aliases):
                if name in taken:
                    raise PorterError(f"{family.records}: the model name {name} is taken by {taken[name].family}")
            archs[arch.name] = arch
    return archs


def _family_archs(family: Family) -> Iterator[Arch]:
    """Yield the models of one family. Raises PorterError, naming the file and the key, where a record is wrong."""
    try:
        raw = tomllib.loads(family.records.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PorterError(f"{family.records} cannot be read as TOML ({error}): correct it") from None
    models, aliases = raw.pop("model", []), raw.pop("aliases", {})
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models) or not models:
        raise PorterError(f"{family.records} has no list of models: begin each with [[model]]")
    if not isinstance(aliases, dict) or not all(isinstance(name, str) for name in aliases.values()):
        raise PorterError(f'{family.records} has aliases that are not names: write alias = "model" under [aliases]')
    records = [record for model in models for record in _expand(family, raw | model)]
    names = {record["name"] for record in records}
    for alias, name in aliases.items():
        if name not in names:
            raise PorterError(f"{family.records}: the alias {alias} names {name}, which is not one of its models")
    for record in records:
        own = tuple(alias for alias, name in aliases.items() if name == record["name"])
        yield Arch(family=family.name, aliases=own, **record)


def _expand(family: Family, model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one checked record for each combination of the values that ``over`` lists."""
    over = model.pop("over", {})
    if not isinstance(over, dict) or not all(isinstance(values, list) for values in over.values()):
        raise PorterError(f"{family.records}: over must list the values of each placeholder")
    for values in itertools.product(*over.values()):
        placeholders = dict(zip(over, values, strict=True))
        name = _fill(model.get("name"), placeholders, family)
        record = {key: _fill(value, placeholders | {"name": name}, family) for key, value in model.items()}
        _check(record, family)
        yield record


def _fill(value: Any, placeholders: Mapping[str, Any], family: Family) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, placeholders, family) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    if value[1:-1] in placeholders and value == f"{{{value[1:-1]}}}":
        return placeholders[value[1:-1]]
    try:
        return value.format_map(placeholders)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError):
        known = ", ".join(placeholders) or "none"
        raise PorterError(f"{family.records}: {value!r} has an unknown placeholder; known: {known}") from None


def _check(record: Mapping[str, Any], family: Family) -> None:
    """Raise PorterError where a record lacks a field, has an unknown one, or one of another type."""
    which = f"{family.records}: the model {record.get('name')!r}"
    if missing := sorted(_REQUIRED - record.keys()):
        raise PorterError(f"{which} lacks {', '.join(missing)}: add them to the record or to the top of the file")
    for key, value in record.items():
        if key not in _FIELDS:
            raise PorterError(f"{which} has the unknown field {key}; a record has {', '.join(_FIELDS)}")
        wanted = _TYPES.get(key, str)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise PorterError(f"{which} has {key} = {value!r}, which must have the type {wanted.__name__}")
        if isinstance(value, int) and value < 1:
            raise PorterError(f"{which} has {key} = {value}: it must be at least 1")
    if not all(isinstance(function, str) for function in record["builders"].values()):
        raise PorterError(f"{which} has builders that are not names of functions")


def is_model(name: str) -> bool:
    """Tell whether ``name`` is a model's name or alias."""
    return name in _names()


def _names() -> dict[str, Arch]:
    return {alias: arch for arch in ARCHS.values() for alias in (arch.name, *arch.aliases)}


def find_arch(name: str) -> Arch:
    """Return the record of the model with this name or alias. Raises PorterError, which suggests similar names."""
    names = _names()
    if name in names:
        return names[name]
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise PorterError(f"porter knows no model {name!r}: {hint}`port list` shows the models")
