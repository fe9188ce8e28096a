"""ARCHS: one literal record per architecture. Nothing of a framework is imported here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from porter.errors import PorterError


@dataclass(frozen=True)
class Arch:
    """One released model.

    ``title`` is its name as papers write it, without the input size.
    ``builders`` maps a framework to ``"module:function"``. The function takes ``num_classes`` (0 for the features
    alone), ``options`` and the name of every optional part of the table; with one of these, and in Keras always, also
    ``input_size``, in Keras ``dtype`` too. ``input_size`` is the side of the square
    pictures that the model was trained on, ``preprocessing`` a preset of porter.runners.presets, ``labels`` a file in
    labels/ for the released number of classes.
    """

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

    def builder(self, framework: str) -> Callable[..., Any]:
        """Return the function that builds the network in ``framework``, which is imported now."""
        module, function = self.builders[framework].split(":")
        builder: Callable[..., Any] = getattr(import_module(module), function)
        return builder


# Multipliers and sizes of the release: slim/nets/mobilenet_v1.md.
_MOBILENET_V1 = [
    Arch(
        name=f"mobilenet_v1_{multiplier}_{size}",
        title=f"MobileNet V1 {multiplier}",
        table="mobilenet_v1",
        input_size=size,
        num_classes=1001,
        preprocessing="inception",
        labels="imagenet_1001",
        builders={
            "torch": "porter.nets.mobilenet_v1.torch:MobileNetV1",
            "keras": "porter.nets.mobilenet_v1.keras:mobilenet_v1",
        },
        options={"multiplier": multiplier},
        aliases=("mobilenet_v1",) if (multiplier, size) == (1.0, 224) else (),
    )
    for multiplier in (1.0, 0.75, 0.5, 0.25)
    for size in (224, 192, 160, 128)
]

# Sizes: default_image_size of each builder in slim/nets/nasnet/nasnet.py. slim/preprocessing/preprocessing_factory.py
# names inception's preprocessing for the two ImageNet models; for CIFAR-10 it has cifarnet's.
_NASNET = [
    Arch(
        name=name,
        title=title,
        table=name,
        input_size=size,
        num_classes=1001,
        preprocessing="inception",
        labels="imagenet_1001",
        builders={"torch": f"porter.nets.nasnet.torch:{name}", "keras": f"porter.nets.nasnet.keras:{name}"},
    )
    for name, title, size in (("nasnet_large", "NASNet-A Large", 331), ("nasnet_mobile", "NASNet-A Mobile", 224))
] + [
    Arch(
        name="nasnet_cifar",
        title="NASNet-A CIFAR",
        table="nasnet_cifar",
        input_size=32,
        num_classes=10,
        preprocessing="cifar",
        labels="cifar10",
        builders={"torch": "porter.nets.nasnet.torch:nasnet_cifar", "keras": "porter.nets.nasnet.keras:nasnet_cifar"},
    )
]

ARCHS: dict[str, Arch] = {arch.name: arch for arch in (*_MOBILENET_V1, *_NASNET)}


def is_model(name: str) -> bool:
    """Tell whether ``name`` is a model's name or alias."""
    return name in _names()


def _names() -> dict[str, Arch]:
    return {alias: arch for arch in ARCHS.values() for alias in (arch.name, *arch.aliases)}


def find_arch(name: str) -> Arch:
    """Return the record of ``name`` or of the model it is an alias of; raises PorterError."""
    names = _names()
    if name in names:
        return names[name]
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise PorterError(f"porter knows no model {name!r}: {hint}`port list` shows the models")
