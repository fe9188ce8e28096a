"""Builds a library's own network through its public constructor, and fills it by name."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from porter.catalog.models import Arch
from porter.errors import MissingPackageError, PorterError
from porter.files.installed import require_package
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import Dialect
from porter.mapping.networks import Network
from porter.mapping.table import Table


def library_network(arch: Arch, dialect: str) -> tuple[Dialect, Network]:
    """Return the record of ``dialect`` and how its library builds the network of ``arch``.

    Raises PorterError where the library has none.
    """
    table = Table.of(arch)
    built = {name: table.record(name).library for name in table.networks if table.record(name).library}
    if dialect not in built:
        known = ", ".join(built.values()) or "no library"
        raise PorterError(f"porter builds {arch.name} with {known}, not with {dialect}: choose another side")
    return table.record(dialect), table.networks[dialect]


def build_library(
    arch: Arch, dialect: str, tensors: Checkpoint, num_classes: int, input_size: int, in_channels: int, **settings: Any
) -> Any:
    """Return the library's own network, filled with all of ``tensors`` of its names.

    ``settings`` go to its constructor beside the table's arguments. Raises PorterError where the library lacks the
    network or is not installed, and MappingError where a tensor is missing, left over or of another shape.
    """
    record, network = library_network(arch, dialect)
    if network.classes not in (None, num_classes):
        first = "port it with `drop_background` first" if num_classes - 1 == network.classes else "choose another side"
        raise PorterError(
            f"{record.library} builds {network.constructor_of(arch)} with {network.classes} classes alone, and "
            f"{tensors.path} has {num_classes}: {first}"
        )
    library = _imported(record)
    arguments = network.filled(arch, num_classes=num_classes, input_size=input_size, in_channels=in_channels)
    arguments |= settings
    build = getattr(library, network.constructor_of(arch))
    with warnings.catch_warnings():  # of the library's calls of other libraries, which no user can change
        warnings.simplefilter("ignore")
        module = build(**arguments) if network.config is None else build(getattr(library, network.config)(**arguments))
    if record.framework == "torch":
        module.eval()
    fill = import_module(f"porter.nets.build_{record.framework}").fill
    fill(module, Table.of(arch), tensors, dialect)
    return module


def _imported(record: Dialect) -> Any:
    """Return the library's module. Raises MissingPackageError with the command that installs what it lacks."""
    require_package(record.framework, record.framework)
    package = record.library.partition(".")[0]
    try:
        library = import_module(record.library)
    except ImportError as error:
        needed = (error.name or package).partition(".")[0]
        also = f", which {package} needs," if needed != package else ""
        raise MissingPackageError(f"{needed}{also} is not installed: run pip install {needed}") from None
    if package == "keras":  # its layers' names count on from those of earlier networks
        import_module("keras").utils.clear_session()
    return library
