"""Builds a network in the framework of one's choice and fills it by name."""

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
    """Return the network of ``arch`` filled with ``tensors``, which have the framework's own names."""
    require_framework(arch, framework)
    return import_module(f"porter.nets.build_{framework}").build(arch, tensors, num_classes, **options)


def require_framework(arch: Arch, framework: str) -> None:
    """Raise PorterError where ``arch`` has no network in ``framework`` or that is not installed."""
    if framework not in arch.builders:
        raise PorterError(f"{arch.name} is not built in {framework!r}: take one of {', '.join(arch.builders)}")
    require_package(framework, framework)
    if framework == "keras":
        try:
            import_module("keras")
        except (ImportError, ValueError) as error:
            raise MissingPackageError(
                f"Keras' backend is not installed ({error}): set KERAS_BACKEND to torch or tensorflow, whichever is"
            ) from None
