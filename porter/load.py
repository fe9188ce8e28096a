"""load: a network in the framework of one's choice, filled with ported weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from porter.archs import Arch, find_arch
from porter.checkpoint import Checkpoint, open_checkpoint
from porter.errors import MissingPackageError, PorterError
from porter.kinds import KINDS, SEPARATORS
from porter.odd import watch


def load(
    model: str,
    framework: str = "torch",
    weights: str | Path | None = None,
    num_classes: int | None = None,
    dtype: str | None = None,
    **options: Any,
) -> Any:
    """Return ``model`` in ``framework`` as a plain module in eval mode: logits out.

    ``torch`` takes NCHW, ``keras`` NHWC, of ``input_size`` if that is given. ``weights`` is a file or folder that
    porter wrote; ``dtype`` is the file's where it is left out, and its head gives the number of classes. A file
    without a head gives the features, or a fresh head of ``num_classes``. Other ``options`` go to the network's
    builder, such as ``multiplier=0.35`` of MobileNet V1, or ``aux=True`` of NASNet, which then returns its auxiliary
    head's logits too.

    Warns of weights that are not finite, or that are no variances where those belong. Raises PorterError where the
    weights are not the model's, or the framework is not installed.
    """
    arch = find_arch(model)
    if weights is None:
        return build(arch, framework, None, num_classes=num_classes, dtype=dtype, **options)
    require_framework(arch, framework)
    odd: dict[str, str] = {}
    checkpoint = _watched(open_checkpoint(weights), framework, odd)
    network = build(arch, framework, checkpoint, num_classes=num_classes, dtype=dtype, **options)
    for sentence in odd.values():
        warnings.warn(f"{checkpoint.path}: {sentence}", stacklevel=2)
    return network


def _watched(checkpoint: Checkpoint, framework: str, odd: dict[str, str]) -> Checkpoint:
    """Return ``checkpoint``, which leaves in ``odd`` what is odd about the tensors that are read."""
    variances = {tensor.leaf(framework).name for kind in KINDS.values() for tensor in kind if tensor.variance}
    watched = {
        name: watch(entry, name, name.split(SEPARATORS[framework])[-1] in variances, odd)
        for name, entry in checkpoint.entries.items()
    }
    return replace(checkpoint, entries=watched)


def build(
    arch: Arch, framework: str, tensors: Checkpoint | None, num_classes: int | None = None, **options: Any
) -> Any:
    """Return the network of ``arch`` filled with ``tensors``, which have the framework's own names."""
    require_framework(arch, framework)
    return import_module(f"porter.nets.{framework}.build").build(arch, tensors, num_classes, **options)


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


def require_package(package: str, extra: str) -> None:
    """Raise MissingPackageError, naming porter's extra, where ``package`` is not installed. Imports nothing."""
    if find_spec(package) is None:
        raise MissingPackageError(f"{package} is not installed: pip install 'porter[{extra}]'")
