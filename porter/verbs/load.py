"""load: a network in PyTorch or Keras, filled with ported weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.suspicious import watch
from porter.mapping.dialects import SEPARATORS
from porter.mapping.kinds import KINDS
from porter.nets.build import build, require_framework


def load(
    model: str,
    framework: str = "torch",
    weights: str | Path | None = None,
    num_classes: int | None = None,
    dtype: str | None = None,
    **options: Any,
) -> Any:
    """Return the network of ``model`` in ``framework``, in eval mode: images in, logits out.

    A ``torch`` network takes float images as NCHW, a ``keras`` network as NHWC, prepared as the model's
    preprocessing says. ``weights`` is a file or folder that porter wrote; without it the weights are random. ``dtype``
    defaults to the file's. The file's head gives the number of classes. For a file without a head the network returns
    features, or has a fresh head of ``num_classes``. Other ``options`` go to the network's builder, such as
    ``input_size=150``, ``multiplier=0.35`` of MobileNet V1, or ``aux=True`` of NASNet, which also returns the logits
    of the auxiliary head.

    Warns if a weight is not finite, a variance is negative, or a value is larger than training leaves. Raises
    PorterError if the weights are not the model's, and MissingPackageError if the framework is not installed.
    """
    arch = find_arch(model)
    if weights is None:
        return build(arch, framework, None, num_classes=num_classes, dtype=dtype, **options)
    require_framework(arch, framework)
    suspicious: dict[str, str] = {}
    checkpoint = _watched(open_checkpoint(weights), framework, suspicious)
    network = build(arch, framework, checkpoint, num_classes=num_classes, dtype=dtype, **options)
    for sentence in suspicious.values():
        warnings.warn(f"{checkpoint.path}: {sentence}", stacklevel=2)
    return network


def _watched(checkpoint: Checkpoint, framework: str, suspicious: dict[str, str]) -> Checkpoint:
    """Return ``checkpoint`` with entries that report to ``suspicious`` when a tensor that is read fails a check."""
    variances = {tensor.leaf(framework).name for kind in KINDS.values() for tensor in kind if tensor.variance}
    watched = {
        name: watch(entry, name, name.split(SEPARATORS[framework])[-1] in variances, suspicious)
        for name, entry in checkpoint.entries.items()
    }
    return replace(checkpoint, entries=watched)
