"""PNASNet-5 in Keras, by NASNet's machinery.

keras.applications has no PNASNet. Layer names are in the style of its NASNet, with cells of the kind ``normal_P``.
"""

from __future__ import annotations

import keras

from porter.nets.nasnet.design import Config, Step
from porter.nets.nasnet.keras import cell_network
from porter.nets.pnasnet.design import LARGE, MOBILE, plan


def cell_id(step: Step) -> str:
    """Return the number or word for a cell, as keras.applications counts NASNet's: its stem cells from 1."""
    return f"stem_{step.number + 1}" if step.role == "stem" else str(step.number)


def pnasnet(
    config: Config,
    num_classes: int,
    input_size: int,
    dtype: str,
    drop_path: bool,
    aux: bool,
    name: str,
    in_channels: int,
) -> keras.Model:
    """Return PNASNet-5. The arguments are those of ``cell_network``."""
    cells = [(cell_id(step), step) for step in plan(config)]
    return cell_network(config, cells, num_classes, input_size, dtype, drop_path, aux, name, in_channels, letter="P")


def pnasnet_large(
    num_classes: int = 1001,
    input_size: int = 331,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return PNASNet-5 (4 cells a stage, 216 filters), for images in [-1, 1]."""
    return pnasnet(LARGE, num_classes, input_size, dtype, drop_path, aux, "pnasnet_large", in_channels)


def pnasnet_mobile(
    num_classes: int = 1001,
    input_size: int = 224,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return PNASNet-5 (3 cells a stage, 54 filters), for images in [-1, 1]. Drop path drops nothing, as in slim."""
    return pnasnet(MOBILE, num_classes, input_size, dtype, drop_path, aux, "pnasnet_mobile", in_channels)
