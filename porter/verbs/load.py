"""load: a network in the framework of one's choice, filled with ported weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from porter.catalog.models import Arch, find_arch
from porter.catalog.open_values import with_options
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.suspicious import Findings, watch
from porter.mapping.dialects import DIALECTS, Dialect
from porter.mapping.file_dialect import to_framework
from porter.mapping.follow import following_file
from porter.mapping.kinds import statistic_leaves
from porter.mapping.table import Table
from porter.nets.build import build, require_framework
from porter.nets.features import feature_network


def load(
    model: str,
    framework: str = "torch",
    weights: str | Path | None = None,
    num_classes: int | None = None,
    dtype: str | None = None,
    in_channels: int | None = None,
    *,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    fused: bool = False,
    **options: Any,
) -> Any:
    """Return ``model`` in ``framework`` as a plain module in eval mode: logits out.

    ``torch`` takes NCHW images. ``keras`` takes NHWC images of side ``input_size``, by default the model's own.
    ``weights`` is a file or folder with the model's weights, in any dialect. Its head gives the number of classes;
    without a head, the network ends at the features or has a fresh head of ``num_classes``. ``dtype`` is by default the
    file's. The network reads images of ``in_channels`` channels, by default those that the file's weights are for, or
    three. Other ``options`` go to the network's builder, such as ``multiplier=0.35`` of MobileNet V1. With ``aux=True``
    NASNet, Inception V3 and V4, and Inception-ResNet V2 return their auxiliary head's logits too.

    With ``features_only`` the network has no classifier. It returns a list of feature maps, the last one at each
    stride, the largest first, in the framework's axis order. ``out_indices`` selects maps by position, in any order;
    negative positions count from the end. ``network.feature_info`` has timm's methods: channels(), reduction() and
    module_name(). Parameter names stay. docs/guides/features.md lists the maps.

    With ``fused`` a PyTorch network is a torch.fx.GraphModule whose batch norms are folded into its convolutions, in
    float64, in the layout channels_last: it runs faster and cannot be trained. Some names of parameters go, those of
    layers stay. A forward hook must copy an output that it keeps, because later layers may overwrite it.

    Warns of weights that are not finite, and of negative variances. Raises PorterError where the weights are not the
    model's, the framework is not installed, or an argument contradicts ``features_only``.
    """
    arch = with_options(find_arch(model), options)
    if fused and framework != "torch":
        raise PorterError(f"`fused` is for networks in torch, not in {framework}: leave it out")
    _refuse_contradictions(arch, features_only, out_indices, {"num_classes": num_classes, **options})
    if weights is None:
        classes = 0 if features_only else num_classes
        network = build(arch, framework, None, classes, dtype=dtype, in_channels=in_channels, **options)
    else:
        require_framework(arch, framework)
        opened = open_checkpoint(weights)
        arch = following_file(arch, opened.entries)
        network = _filled(
            arch, framework, opened, num_classes=num_classes, dtype=dtype, in_channels=in_channels, **options
        )
    if features_only:
        network = feature_network(arch, framework, network, out_indices)
    if fused:
        from porter.nets.fuse_torch import fuse

        network = fuse(network)
    return network


def _refuse_contradictions(
    arch: Arch, features_only: bool, out_indices: Sequence[int] | None, given: Mapping[str, Any]
) -> None:
    """Raise PorterError for an argument that has no meaning with or without ``features_only``."""
    if not features_only:
        if out_indices is not None:
            raise PorterError("`out_indices` selects feature maps: add `features_only=True`")
        return
    for name in ("num_classes", *Table.of(arch).parts):
        if given.get(name):
            raise PorterError(f"`features_only` leaves all classifiers out: leave `{name}` out too")


def _filled(arch: Arch, framework: str, opened: Checkpoint, **options: Any) -> Any:
    """Return the network with the weights of a file, and warn of suspicious ones."""
    parts = [part for part in Table.of(arch).parts if options.get(part)]
    translation = to_framework(opened, arch, framework, parts)
    if translation is None:
        suspicious = Findings()
        tensors = _watched(opened, DIALECTS[framework], suspicious)
    else:
        tensors, suspicious = translation.as_checkpoint(opened), translation.suspicious
    network = build(arch, framework, tensors, **options)
    for sentence in suspicious.values():
        warnings.warn(f"{opened.path}: {sentence}", stacklevel=3)
    return network


def _watched(checkpoint: Checkpoint, dialect: Dialect, suspicious: Findings) -> Checkpoint:
    """Return ``checkpoint``; reading a tensor that fails a sanity check adds a sentence to ``suspicious``."""
    statistics = statistic_leaves(dialect)
    watched = {}
    for name, entry in checkpoint.entries.items():
        leaf = name.split(dialect.separator)[-1]
        watched[name] = watch(entry, name, statistics.get(leaf, False), suspicious, leaf in statistics)
    return replace(checkpoint, entries=watched)
