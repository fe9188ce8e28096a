"""Builds a network in one of the frameworks and fills it by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from porter.catalog.models import Arch
from porter.errors import MissingPackageError, PorterError
from porter.files.installed import require_package
from porter.formats.checkpoint import Checkpoint


def build(
    arch: Arch, framework: str, tensors: Checkpoint | None, num_classes: int | None = None, **options: Any
) -> Any:
    """Return the network of ``arch`` in ``framework``, filled with ``tensors`` of the framework's own names.

    ``options`` go to the framework's builder. Raises PorterError where the network cannot be built or filled.
    """
    require_framework(arch, framework)
    return import_module(f"porter.nets.build_{framework}").build(arch, tensors, num_classes, **options)


def build_unfilled(arch: Arch, framework: str, tensors: Checkpoint, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return the network of ``arch`` for ``tensors`` with variables that have no values, to be saved alone.

    With it come the variables by the names of their tensors, in the network's order. Raises PorterError as `build`.
    """
    require_framework(arch, framework)
    found: tuple[Any, dict[str, Any]] = import_module(f"porter.nets.build_{framework}").build_unfilled(
        arch, tensors, **options
    )
    return found


def require_framework(arch: Arch, framework: str) -> None:
    """Raise PorterError where ``arch`` has no network in ``framework``, or where that is not installed."""
    if framework not in arch.builders:
        raise PorterError(f"{arch.name} has no network in {framework!r}: choose from {', '.join(arch.builders)}")
    require_package(framework, framework)
    if framework == "keras":
        try:
            import_module("keras")
        except (ImportError, ValueError) as error:
            raise MissingPackageError(
                f"Keras' backend is not installed ({error}): set KERAS_BACKEND to torch or tensorflow, if installed"
            ) from None
