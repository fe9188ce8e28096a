"""AmoebaNet in Keras, by NASNet's machinery.

keras.applications has no AmoebaNet. Layer names are in the style of its NASNet, with cells of the kind
``normal_Amoeba``.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from porter.nets.amoebanet.design import BOTTLENECKS, FACTORED, cell_id, config, inner_filters, plan
from porter.nets.nasnet.keras import OPERATIONS, Cell, Layers, Map, Operation, Side, cell_network, pool


def _minimum(make: Layers, x: Map, stride: int, name: str) -> Map:
    """Apply a 3x3 minimum pool: the maximum pool of the negative map."""
    negative = partial(layers.Rescaling, -1.0, dtype=make.dtype)
    return negative(name=name)(make.maximum(negative(name=f"{name}_negative")(x), stride, f"{name}_pool"))


def _convolution(cell: Cell, x: Map, stride: int, place: str) -> Map:
    """Apply ReLU, a 1x1 convolution and batch norm."""
    return cell.fit(cell.make.relu(x, cell.name(f"relu_{place}")), place, stride)


def _layer(cell: Cell, x: Map, filters: int, kernel: Side, part: str, stride: Side = 1, rate: int = 1) -> Map:
    """Apply ReLU and a convolution."""
    x = cell.make.relu(x, cell.name(f"{part}_relu"))
    return cell.make.convolution(x, filters, cell.name(part), kernel, stride, rate=rate)


def _inside(cell: Cell, x: Map, filters: int, stride: int, place: str, operation: str) -> Map:
    """Apply the convolutions of an operation: one, or two with batch norm between them."""
    if size := FACTORED.get(operation):
        x = _layer(cell, x, filters, (1, size), f"1x{size}_{place}", (1, stride))
        x = cell.make.norm(x, cell.name(f"bn_1x{size}_{place}"))
        return _layer(cell, x, filters, (size, 1), f"{size}x1_{place}", (stride, 1))
    rate = 1 if operation == "convolution_3x3" else int(operation.rpartition("_")[2])
    return _layer(cell, x, filters, 3, f"3x3_{place}", stride, rate)


def _bottleneck(cell: Cell, x: Map, stride: int, place: str, operation: str) -> Map:
    """Apply an operation's convolutions between two of 1x1, which lead to fewer filters and back.

    ReLU is before and batch norm after each convolution.
    """
    make, inner = cell.make, inner_filters(operation, cell.filters)
    x = make.norm(_layer(cell, x, inner, 1, f"pre_1x1_{place}"), cell.name(f"pre_bn_{place}"))
    x = make.norm(_inside(cell, x, inner, stride, place, operation), cell.name(f"inner_bn_{place}"))
    return make.norm(_layer(cell, x, cell.filters, 1, f"post_1x1_{place}"), cell.name(f"post_bn_{place}"))


AMOEBANETS: dict[str, Operation] = {
    **OPERATIONS,
    "convolution_1x1": _convolution,
    "maximum_2x2": partial(pool, kind=partial(Layers.maximum, kernel=2)),
    "minimum_3x3": partial(pool, kind=_minimum),
    **{operation: partial(_bottleneck, operation=operation) for operation in BOTTLENECKS},
}
"""The operations of network_utils.py."""


def amoebanet(
    num_classes: int = 1001,
    specification: str = "d",
    num_cells: int = 6,
    reduction_size: int = 256,
    input_size: int = 224,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
    in_channels: int = 3,
    batch_norm_epsilon: float = 1e-3,
) -> keras.Model:
    """Return AmoebaNet-A or D (``num_cells``, ``reduction_size``), for images in [-1, 1].

    ``specification`` is a key of ``SPECIFICATIONS``. The trainer's command line sets ``batch_norm_epsilon`` to 1e-5,
    which no checkpoint tells.
    """
    numbers = config(num_cells, reduction_size, batch_norm_epsilon)
    cells = [(cell_id(step), step) for step in plan(numbers, specification)]
    name = f"amoebanet_{specification}"
    return cell_network(
        numbers,
        cells,
        num_classes,
        input_size,
        dtype,
        drop_path,
        aux,
        name,
        in_channels,
        letter="Amoeba",
        operations=AMOEBANETS,
    )
