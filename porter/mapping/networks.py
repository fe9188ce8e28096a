"""Networks: the networks that libraries themselves have of a table, and the public constructors that build them.

A table's ``[network.DIALECT]`` and an overlay's ``[network]`` are data. ``constructor`` is a function or class of the
dialect's ``library``; where the dialect has none, porter builds no network. ``arguments`` are its keyword arguments;
where there is a ``config``, a class of the library, they are that class's, and its instance is the constructor's only
argument. ``processor`` is the library's class that prepares images. ``same_on`` is a golden on which the network
computes the original's function, as a test measures. ``classes`` is the number of classes of a constructor that builds
no other.

In arguments, a text that is one placeholder becomes its value: ``{num_classes}``, ``{input_size}``, ``{in_channels}``,
``{none}``, and the model's own options, such as ``{multiplier}``. A table ``{ multiplier = { "1.0" = "x" } }`` chooses
by an option, the constructor too: with any other value the library has no such network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.catalog.models import Arch
from porter.errors import MappingError, PorterError

TYPES: Mapping[str, type] = {
    "constructor": str,
    "config": str,
    "processor": str,
    "same_on": str,
    "classes": int,
    "arguments": dict,
}
"""The keys of an entry. All but ``constructor`` may be left out."""


@dataclass(frozen=True)
class Network:
    """How the library of ``dialect`` builds its own network; see the module for the fields."""

    dialect: str
    constructor: str | Mapping[str, Any]
    config: str | None = None
    processor: str | None = None
    same_on: str | None = None
    classes: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def constructor_of(self, arch: Arch) -> str:
        """Return the name of the constructor for ``arch``. Raises PorterError as `filled` does."""
        return str(self._value(self.constructor, arch.options, arch))

    def filled(self, arch: Arch, **values: int) -> dict[str, Any]:
        """Return the arguments for ``arch``, with the ``values`` of placeholders that are no options.

        Raises PorterError where the library does not have the network with these options.
        """
        known = {**arch.options, **values, "none": None}
        return {name: self._value(given, known, arch) for name, given in self.arguments.items()}

    def _value(self, given: Any, known: Mapping[str, Any], arch: Arch) -> Any:
        if isinstance(given, list):
            return [self._value(each, known, arch) for each in given]
        if isinstance(given, dict):
            ((option, values),) = given.items()
            if str(known.get(option)) not in values:
                raise PorterError(
                    f"the library of {self.dialect} has no network {arch.name}: its {option} must be one of "
                    f"{', '.join(values)}, got {known.get(option)}"
                )
            return values[str(known[option])]
        if isinstance(given, str) and given.startswith("{") and given.endswith("}"):
            return known[given[1:-1]]
        return given


def read_networks(raw: Mapping[str, Mapping[str, Any]], dialects: Collection[str], path: Path) -> dict[str, Network]:
    """Return the networks of a table in ``path`` by dialect. Raises MappingError where an entry does not fit."""
    return {dialect: Network(dialect, **_checked(dialect, entry, dialects, path)) for dialect, entry in raw.items()}


def _checked(dialect: str, entry: Mapping[str, Any], dialects: Collection[str], path: Path) -> Mapping[str, Any]:
    which = f"{path}: the table has the network of {dialect!r}"
    if dialect not in dialects:
        raise MappingError(f"{which}, which is not a dialect of the table")
    if unknown := sorted(entry.keys() - TYPES.keys()):
        raise MappingError(f"{which} with unknown keys {unknown}: it takes {', '.join(TYPES)}")
    if "constructor" not in entry:
        raise MappingError(f"{which} without a constructor: name a function or class of the library")
    for key, value in entry.items():
        if not isinstance(value, TYPES[key]) and not (key == "constructor" and isinstance(value, dict)):
            raise MappingError(f"{which} whose {key} is {value!r}: expected a {TYPES[key].__name__}")
    for choice in (entry["constructor"], *entry.get("arguments", {}).values()):
        if isinstance(choice, dict) and not (len(choice) == 1 and all(isinstance(v, dict) for v in choice.values())):
            raise MappingError(f'{which} with the choice {choice!r}: write {{ option = {{ "value" = argument }} }}')
    return entry
