"""load: a network in the framework of one's choice, filled with ported weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.suspicious import Findings, watch
from porter.mapping.dialects import DIALECTS, Dialect
from porter.mapping.kinds import statistic_leaves
from porter.nets.build import build, require_framework


def load(
    model: str,
    framework: str = "torch",
    weights: str | Path | None = None,
    num_classes: int | None = None,
    dtype: str | None = None,
    in_channels: int | None = None,
    **options: Any,
) -> Any:
    """Return ``model`` in ``framework`` as a plain module in eval mode: logits out.

    ``torch`` takes NCHW, ``keras`` NHWC, of ``input_size`` if that is given. ``weights`` is a file or folder that
    porter wrote; ``dtype`` is the file's where it is left out, and its head gives the number of classes. A file
    without a head gives the features, or a fresh head of ``num_classes``. The network reads images of ``in_channels``
    channels, by default those that the file's weights are for, or three. Other ``options`` go to the network's builder,
    such as ``global_pool=True`` of MobileNet V1, or ``aux=True`` of NASNet, which then returns its auxiliary head's
    logits too.

    Warns of weights that are not finite, or that are no variances where those belong. Raises PorterError where the
    weights are not the model's, or the framework is not installed.
    """
    arch = find_arch(model)
    if weights is None:
        return build(arch, framework, None, num_classes, dtype=dtype, in_channels=in_channels, **options)
    require_framework(arch, framework)
    suspicious = Findings()
    checkpoint = _watched(open_checkpoint(weights), DIALECTS[framework], suspicious)
    network = build(arch, framework, checkpoint, num_classes, dtype=dtype, in_channels=in_channels, **options)
    for sentence in suspicious.values():
        warnings.warn(f"{checkpoint.path}: {sentence}", stacklevel=2)
    return network


def _watched(checkpoint: Checkpoint, dialect: Dialect, suspicious: Findings) -> Checkpoint:
    """Return ``checkpoint``, which leaves in ``suspicious`` what is suspicious about the tensors that are read."""
    statistics = statistic_leaves(dialect)
    watched = {}
    for name, entry in checkpoint.entries.items():
        leaf = name.split(dialect.separator)[-1]
        watched[name] = watch(entry, name, statistics.get(leaf, False), suspicious, leaf in statistics)
    return replace(checkpoint, entries=watched)
