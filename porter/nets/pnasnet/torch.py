"""PNASNet-5 in PyTorch, by NASNet's machinery. Parameter names are Cadene's, which timm has too."""

from __future__ import annotations

from porter.nets.nasnet.design import Config, Step
from porter.nets.nasnet.torch import CellNetwork
from porter.nets.pnasnet.design import LARGE, MOBILE, plan


def cell_name(step: Step) -> str:
    """Return Cadene's name of a cell, which is slim's."""
    return f"cell_stem_{step.number}" if step.role == "stem" else f"cell_{step.number}"


class PNASNet(CellNetwork):
    """PNASNet-5."""

    def __init__(self, config: Config, num_classes: int, aux: bool, input_size: int, in_channels: int) -> None:
        steps = {cell_name(step): step for step in plan(config)}
        super().__init__(config, steps, num_classes, aux, input_size, in_channels, stem="conv_0", nested=True)


def pnasnet_large(num_classes: int = 1001, aux: bool = False, input_size: int = 331, in_channels: int = 3) -> PNASNet:
    """Return PNASNet-5 (4 cells a stage, 216 filters), for 331x331 images in [-1, 1]."""
    return PNASNet(LARGE, num_classes, aux, input_size, in_channels)


def pnasnet_mobile(num_classes: int = 1001, aux: bool = False, input_size: int = 224, in_channels: int = 3) -> PNASNet:
    """Return PNASNet-5 (3 cells a stage, 54 filters), for 224x224 images in [-1, 1]."""
    return PNASNet(MOBILE, num_classes, aux, input_size, in_channels)
