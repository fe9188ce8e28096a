"""The folders of timm and of Hugging Face transformers: configurations with which they compute the original's function.

Sources: timm/models/_hub.py and _pretrained.py; transformers' configuration_utils.py and image_processing_base.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from porter.catalog.models import Arch, find_arch
from porter.errors import PorterError
from porter.export.card import write_card
from porter.export.output import Output
from porter.export.safetensors import write_safetensors
from porter.files.json import to_json
from porter.formats.checkpoint import Entry
from porter.mapping.differs import exact_settings
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import BATCH_NORM, Table
from porter.runners.presets import PRESETS

CONFIG, PROCESSOR, RECORD, CARD = "config.json", "preprocessor_config.json", "porter.json", "README.md"
_BILINEAR = 2  # PIL.Image.Resampling


class _Network(NamedTuple):
    """A library's own network of a model, with the arguments that make it compute the original's function.

    ``processor`` is the class that prepares images, None where the library has none.
    """

    constructor: str
    processor: str | None
    arguments: dict[str, Any]


class _Images(NamedTuple):
    """What a library does to an image: the shorter side after its resizing, then the mean and deviation of [0, 1]."""

    shorter_side: int
    mean: list[float]
    std: list[float]


def require_network(arch: Arch, dialect: str) -> None:
    """Raise PorterError if the library of ``dialect`` has no network of ``arch``, or cannot prepare its images."""
    _network(arch, dialect, arch.num_classes, 3)
    _images(arch, 3)


def _network(arch: Arch, dialect: str, num_classes: int, in_channels: int) -> _Network:
    table = Table.of(arch)
    if dialect not in table.networks:
        raise PorterError(
            f"porter knows no network of {dialect} for {arch.name}: end `out` in .safetensors instead of /"
        )
    network = table.networks[dialect]
    values = {"num_classes": num_classes, "in_channels": in_channels, "input_size": arch.input_size}
    arguments = {**network.filled(arch, **values), **exact_settings(table.differs, dialect)}
    return _Network(network.constructor_of(arch), network.processor, arguments)


def _images(arch: Arch, channels: int) -> _Images:
    """Return the preprocessing of ``arch`` as PyTorch's users have it, for images of ``channels``."""
    preset = PRESETS[arch.preprocessing].torch
    if preset is None:
        raise PorterError(
            f"the preprocessing {arch.preprocessing} of {arch.name} has no mean and deviation that suit every image: "
            "end `out` in .safetensors instead of /"
        )
    mean, std = preset.normalisation(channels)
    return _Images(preset.shorter_side(arch.input_size), mean, std)


def write_timm(folder: Path, facts: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Write config.json as timm.create_model("local-dir:FOLDER") reads it, and the card."""
    arch, channels, classes = find_arch(facts["model"]), facts["in_channels"], facts["num_classes"]
    images = _images(arch, channels)
    arguments = _network(arch, "timm", classes, channels).arguments
    sides = [arch.input_size, arch.input_size]
    stem, head, features = _ends(arch, "timm")
    write = {
        "architecture": arguments.pop("model_name"),
        "num_classes": classes,
        "num_features": features,
        **({"label_names": list(labels)} if labels else {}),
        "model_args": {name: value for name, value in arguments.items() if name not in _TIMMS_OWN},
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [channels, *sides],
            "interpolation": "bilinear",
            "crop_pct": arch.input_size / images.shorter_side,
            "crop_mode": "center",
            "mean": images.mean,
            "std": images.std,
            "num_classes": classes,
            "first_conv": stem,
            "classifier": head,
        },
    }
    (folder / CONFIG).write_text(f"{to_json(write, indent=2)}\n", encoding="utf-8")
    use = f'import timm\n\nmodel = timm.create_model("local-dir:{folder.name}", pretrained=True).eval()'
    write_card(folder / CARD, facts, CONFIG, RECORD, "timm", use)


_TIMMS_OWN = ("pretrained", "num_classes", "in_chans")
"""Arguments that timm takes from the rest of its config.json."""


def write_hf_weights(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as safetensors, with the counter of every batch norm: from_pretrained misses it otherwise.

    Each is 0, as in a new network.
    """
    table = Table.of(output.arch)
    norms = [layer for layer in table.layers if layer.kind_in(output.dialect) == BATCH_NORM]
    record, entries = table.record(output.dialect), dict(output.tensors.entries)
    for norm in norms:
        if any(each.name in entries for each in norm.tensors(record).values()):
            entries[record.join(norm.names[output.dialect][0], "num_batches_tracked")] = _COUNTER
    return write_safetensors(path, replace(output, tensors=replace(output.tensors, entries=entries)))


_COUNTER = Entry((), np.dtype(np.int64), lambda: np.zeros((), np.int64))


def write_hf(folder: Path, facts: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Write config.json and preprocessor_config.json as from_pretrained(FOLDER) reads them, and the card."""
    arch, channels, classes = find_arch(facts["model"]), facts["in_channels"], facts["num_classes"]
    constructor, processor, arguments = _network(arch, "hf", classes, channels)
    images, size = _images(arch, channels), arch.input_size
    if labels:
        arguments.pop("num_labels", None)
        arguments["id2label"] = {str(number): label for number, label in enumerate(labels)}
        arguments["label2id"] = {label: number for number, label in enumerate(labels)}
    (folder / CONFIG).write_text(f"{to_json({'architectures': [constructor], **arguments}, indent=2)}\n", "utf-8")
    preparation = {
        "image_processor_type": processor,
        "do_resize": True,
        "size": {"shortest_edge": images.shorter_side},
        "resample": _BILINEAR,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": images.mean,
        "image_std": images.std,
    }
    (folder / PROCESSOR).write_text(f"{to_json(preparation, indent=2)}\n", encoding="utf-8")
    use = (
        "from transformers import AutoImageProcessor, AutoModelForImageClassification\n\n"
        f'processor = AutoImageProcessor.from_pretrained("{folder.name}")\n'
        f'model = AutoModelForImageClassification.from_pretrained("{folder.name}").eval()'
    )
    write_card(folder / CARD, facts, CONFIG, RECORD, "transformers", use)


def _ends(arch: Arch, dialect: str) -> tuple[str, str, int]:
    """Return the names of the layers that read the images and compute the logits, and the features before these."""
    table = Table.of(arch)
    stem = next(layer.names[dialect][0] for layer in table.layers if layer.stem)
    head = next(layer for layer in table.layers if layer.head and layer.part is None)
    kernel = next(iter(head.tensors(table.record(dialect)).values()))
    shape = expected_shapes(arch, table, dialect)[kernel.name]
    return stem, head.names[dialect][0], shape[kernel.axes.index("I")]
