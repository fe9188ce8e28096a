"""ARCHS: the records of all models, read from ``models.toml`` in the folder of each family.

Reading records imports no framework and no network. Code is imported by name when a network is built.

``models.toml`` holds one ``[[model]]`` per model, with the fields of ``Arch``. Fields at the top of the file are the
defaults of every model. ``over`` lists the values of placeholders and stands for one model per combination. In any
text, ``{placeholder}`` or ``{name}`` is replaced; a text that is one placeholder becomes its value. ``open`` lists the
placeholders of ``over`` that may have any other number: such a model was not released, and is known by its name alone.
``golden`` gives some of them the values of the model that has the golden, where a released one is too large for that.
Where the width decides more than numbers of channels, the family's design.py has ``wiring(**options)``, which returns
that; a width whose wiring is not the base's is refused. Where they decide which layers there are, it has
``axes(**options)``, ``sizes(**options)`` and ``chain(base_options, options)``: see Arch. ``follows`` says how a file
tells the value of a placeholder: the ``count`` of a table's row, or the ``width`` of its first layer, its output
channels, multiplied by ``times``.
``[aliases]`` maps another name to a model.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, NamedTuple

from porter.catalog.families import Family, families, golden_path, import_net
from porter.errors import PorterError


@dataclass(frozen=True)
class Arch:
    """One model.

    ``family`` is its folder's name. ``title`` is its name as a paper writes it, without the input size. ``table`` is
    its mapping table. ``input_size`` is the side of its square training images in pixels. ``num_classes`` counts the
    released classes, background included, and ``labels`` names their file in labels/; with one class fewer than the
    file, the model has no background. ``preprocessing`` names a preset.

    ``builders`` maps a framework to a function in the family's ``<framework>.py``. The function takes ``num_classes``
    (0 for the features alone), ``in_channels`` (of the images, 3 by default), the ``options``, and the name of every
    optional part of the table. With such a part, and always in Keras, it takes ``input_size``; in Keras ``dtype`` too.

    ``base`` is empty for a model with a golden of its own. Any other has that of the model ``base``, the released one
    with the same code unless ``models.toml`` says another.
    ``base_options`` are the options of the golden's network; where a model has others, ``scaled`` gives its channels.
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
    base: str = ""
    base_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def golden(self) -> str:
        """The name of the golden with the model's graph, and with its variables at the golden's width."""
        return self.base or self.name

    def scaled(self, layer: str, axis: str, size: int) -> int:
        """Return the size of an axis that has ``size`` in the golden.

        ``layer`` is the id of its row in the table, ``axis`` its letter: I, O or C. The family's design.py computes it
        in ``channels(layer, axis, size, **options)``, by the original's own rounding.
        """
        if not self.base or self.options == self.base_options:
            return size
        return int(import_net(self.family, "design").channels(layer, axis, size, **self.options))

    @property
    def axes(self) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """The table's axes, where the options decide which layers there are and are not those of the table."""
        return self._designed("axes", **self.options) or {}

    @property
    def sizes(self) -> Mapping[str, tuple[int, int]] | None:
        """The input and output channels of each layer by the original's name, where no golden has the layers."""
        return self._designed("sizes", **self.options) if self.base else None

    @property
    def chain(self) -> tuple[Sequence[str], Sequence[tuple[str, str]]] | None:
        """The scopes that follow each other in the golden's graph, and those of this model's, each with one like it.

        None where the golden has the model's graph.
        """
        return self._designed("chain", self.base_options, self.options) if self.base else None

    def _designed(self, function: str, *arguments: Any, **options: Any) -> Any:
        """Return what a function of the family's design.py returns, None where it has none or the base's holds."""
        if not self.base_options or self.options == self.base_options:
            return None
        found = getattr(import_net(self.family, "design"), function, None)
        return found(*arguments, **options) if found is not None else None

    @property
    def wired_as_base(self) -> bool:
        """Whether the graph of the golden and the table's endpoints are this model's, but for numbers of channels."""
        if not self.base or self.options == self.base_options:
            return True
        wiring = getattr(import_net(self.family, "design"), "wiring", None)
        return wiring is None or bool(wiring(**self.options) == wiring(**self.base_options))

    def builder(self, framework: str) -> Callable[..., Any]:
        """Import the family's module for ``framework`` and return the function that builds the network."""
        module, function = import_net(self.family, framework), self.builders[framework]
        builder: Callable[..., Any] | None = getattr(module, function, None)
        if builder is None:
            raise PorterError(f"{module.__file__} has no function {function}, which {self.name} needs: write it")
        return builder


_TYPES: dict[str, type] = {"input_size": int, "num_classes": int, "builders": dict, "options": dict}
"""The types of a record's fields, str where they are not listed."""
_FIELDS = {one.name: one for one in fields(Arch) if one.name not in ("family", "aliases", "base", "base_options")}
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


class Block(NamedTuple):
    """One [[model]] of a family, with the defaults of its file. ``open`` placeholders may have any number.

    ``golden`` are the values of the model that has the golden, where they are not the released ones.
    """

    family: Family
    fields: Mapping[str, Any]
    over: Mapping[str, Sequence[Any]]
    open: Sequence[str]
    follows: Mapping[str, Mapping[str, Any]]
    golden: Mapping[str, Any]

    def arch(self, values: Mapping[str, Any], released: Mapping[str, Any], aliases: Sequence[str] = ()) -> Arch:
        """Return the model with these ``values`` of the placeholders; its golden is that of the ``released`` ones."""
        record = self.record(values)
        base = self.record({**released, **self.golden})
        own = record["name"] == base["name"] or golden_path(record["name"]).is_dir()
        options = {} if record == base else base.get("options", {})
        return Arch(
            self.family.name, aliases=tuple(aliases), base="" if own else base["name"], base_options=options, **record
        )

    def record(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the checked record of one model, for the ``values`` of the placeholders."""
        name = _fill(self.fields.get("name"), values, self.family)
        record = {key: _fill(value, {**values, "name": name}, self.family) for key, value in self.fields.items()}
        _check(record, self.family)
        return record

    def released(self) -> Iterator[dict[str, Any]]:
        """Yield the values of the placeholders of each released model."""
        for values in itertools.product(*self.over.values()):
            yield dict(zip(self.over, values, strict=True))

    def values_in(self, name: str) -> dict[str, Any] | None:
        """Return the values of the placeholders with which ``name`` is a model of this block, None without any."""
        # Most names are of another block, and need no pattern.
        if not self.open or not name.startswith(self.fields["name"].partition("{")[0]):
            return None
        parts = re.split(r"\{(\w+)\}", self.fields["name"])
        pattern = "".join(self._pattern(part) if at % 2 else re.escape(part) for at, part in enumerate(parts))
        found = re.fullmatch(pattern, name)
        if found is None:
            return None
        values = dict[str, Any]()
        for placeholder, text in zip(parts[1::2], found.groups(), strict=True):
            kind = type(self.over[placeholder][0])
            value = kind(text) if kind is not int or "." not in text else 0
            if not value or (placeholder not in self.open and value not in self.over[placeholder]):
                return None
            values[placeholder] = value
        return values

    def _pattern(self, placeholder: str) -> str:
        """Return a group that matches the values of ``placeholder``: any number where its values are numbers."""
        values = self.over[placeholder]
        words = [re.escape(value) for value in values if isinstance(value, str)]
        return f"({'|'.join(words) or _NUMBER})"


_NUMBER = r"[0-9]{1,4}(?:\.[0-9]{1,6})?"
"""A number in a model's name."""


@cache
def _blocks(found: tuple[Family, ...]) -> tuple[tuple[Block, ...], ...]:
    """Return the blocks of each family."""
    return tuple(tuple(_family_blocks(family)) for family in found)


@cache
def _read(found: tuple[Family, ...]) -> dict[str, Arch]:
    archs: dict[str, Arch] = {}
    for family, blocks in zip(found, _blocks(found), strict=True):
        for arch in _family_archs(family, blocks):
            taken = {name: other for other in archs.values() for name in (other.name, *other.aliases)}
            for name in (arch.name, *arch.aliases):
                if name in taken:
                    raise PorterError(f"{family.records}: the model name {name} is taken by {taken[name].family}")
            archs[arch.name] = arch
    return archs


def _toml(family: Family) -> dict[str, Any]:
    try:
        return tomllib.loads(family.records.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PorterError(f"{family.records} cannot be read as TOML ({error}): correct it") from None


_OF_BLOCKS: dict[str, type] = {"over": dict, "open": list, "follows": dict, "golden": dict}
"""The keys of a [[model]] that are no fields of its records, and their types."""


def _family_blocks(family: Family) -> Iterator[Block]:
    """Yield the blocks of one family. Raises PorterError, naming the file and the key, where one is wrong."""
    raw = _toml(family)
    models = raw.pop("model", [])
    raw.pop("aliases", None)
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models) or not models:
        raise PorterError(f"{family.records} has no list of models: begin each with [[model]]")
    for model in models:
        own = raw | model
        over, free, follows, golden = (own.pop(key, kind()) for key, kind in _OF_BLOCKS.items())
        if not isinstance(over, dict) or not all(isinstance(values, list) for values in over.values()):
            raise PorterError(f"{family.records}: over must list the values of each placeholder")
        numbers = {key for key, values in over.items() if values and {type(v) for v in values} in ({int}, {float})}
        if not isinstance(free, list) or not all(each in numbers for each in free):
            raise PorterError(f"{family.records}: open must list placeholders of over whose values are numbers")
        if not isinstance(follows, dict) or not all(
            key in free and isinstance(rule, dict) and len(rule.keys() & {"count", "width"}) == 1
            for key, rule in follows.items()
        ):
            raise PorterError(
                f"{family.records}: follows must give open placeholders a row, as in cells = {{ count = 'cell' }}"
            )
        if not isinstance(golden, dict) or not golden.keys() <= set(free):
            raise PorterError(f"{family.records}: golden must give open placeholders a value, as in filters = 20")
        block = Block(family, own, over, free, follows, golden)
        if free and set(re.findall(r"\{(\w+)\}", str(own.get("name")))) != set(over):
            raise PorterError(f"{family.records}: a name with open placeholders must have each placeholder of over")
        yield block


def _family_archs(family: Family, blocks: Iterable[Block]) -> Iterator[Arch]:
    """Yield the models of one family. Raises PorterError, naming the file and the key, where a record is wrong."""
    aliases = _toml(family).get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(name, str) for name in aliases.values()):
        raise PorterError(f'{family.records} has aliases that are not names: write alias = "model" under [aliases]')
    records = [(block, values, block.record(values)["name"]) for block in blocks for values in block.released()]
    names = {name for _, _, name in records}
    for alias, name in aliases.items():
        if name not in names:
            raise PorterError(f"{family.records}: the alias {alias} names {name}, which is not one of its models")
    for block, values, name in records:
        yield block.arch(values, values, [alias for alias, other in aliases.items() if other == name])


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
    unreleased = None if name in _names() else _unreleased(name)
    return name in _names() or (unreleased is not None and unreleased.wired_as_base)


def _names() -> dict[str, Arch]:
    return {alias: arch for arch in ARCHS.values() for alias in (arch.name, *arch.aliases)}


def find_arch(name: str) -> Arch:
    """Return the record of the model with this name or alias: a released one, or one of an open placeholder's values.

    Raises PorterError, which suggests similar names, and for a width whose network is wired in another way.
    """
    names = _names()
    found = names.get(name) or _unreleased(name)
    if found is not None and not found.wired_as_base:
        raise PorterError(
            f"{found.name} connects its layers in another way than {found.base}, whose graph porter has: choose "
            f"another width, or build the network without weights with load({found.base!r}) and `{_changed(found)}`"
        )
    if found is not None:
        return found
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise PorterError(f"porter knows no model {name!r}: {hint}`port list` shows the models")


def _changed(arch: Arch) -> str:
    """Return the options of ``arch`` that its base has not, as arguments."""
    return ", ".join(f"{key}={value!r}" for key, value in arch.options.items() if value != arch.base_options[key])


def _unreleased(name: str) -> Arch | None:
    """Return the model that the open placeholders of a family give ``name`` to, None where none does."""
    found = families()
    for blocks in _blocks(found):
        for block in blocks:
            values = block.values_in(name)
            if values is not None:
                return of_values(block, values, _read(found))
    return None


def of_values(block: Block, values: Mapping[str, Any], released: Mapping[str, Arch] = ARCHS) -> Arch:
    """Return the model with these placeholders. Its base is the released one that shares most, the first of equals.

    A block lists the values of the paper first, so that other widths scale those.
    """
    name = block.record(values)["name"]
    if name in released:
        return released[name]
    nearest = max(block.released(), key=lambda other: sum(other[key] == value for key, value in values.items()))
    return block.arch(values, nearest)


def all_blocks() -> Iterator[Block]:
    """Yield the blocks of all families."""
    for blocks in _blocks(families()):
        yield from blocks


def blocks_of(arch: Arch) -> Iterator[tuple[Block, dict[str, Any]]]:
    """Yield the blocks with open placeholders that ``arch`` is a model of, and its values there."""
    for block in all_blocks():
        own = block.values_in(arch.name)
        if own is not None:
            yield block, own
