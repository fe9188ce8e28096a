"""Networks of cells in Keras, and NASNet-A, built from ``design``. Layer names are those of keras.applications.

keras.applications has the same layers with other arithmetic. Its reduction cells pad with zeros and then pool, so that
averages count the padding and maxima may be padding. docs/nasnet.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import keras
from keras import layers

from porter.nets.layers_keras import DropPath, average_pool_same
from porter.nets.nasnet.design import (
    AUX_POOL,
    AUX_STRIDE,
    CIFAR,
    CURRENT,
    LARGE,
    MOBILE,
    PREVIOUS,
    Branch,
    Config,
    Step,
    Wiring,
    auxiliary_step,
    plan,
)

Map: TypeAlias = keras.KerasTensor
Side: TypeAlias = int | tuple[int, int]
"""Of a kernel or a stride: both ways, or height and width."""


@dataclass(frozen=True)
class Layers:
    """The layers of one network: each method takes an (N, H, W, C) map and returns one."""

    config: Config
    dtype: str

    def convolution(
        self, x: Map, filters: int, name: str, kernel: Side = 1, stride: Side = 1, pad: str = "same", rate: int = 1
    ) -> Map:
        convolve = partial(layers.Conv2D, filters, kernel, stride, pad, "channels_last", rate)
        return convolve(use_bias=False, dtype=self.dtype, name=name)(x)

    def separable(self, x: Map, filters: int, name: str, kernel: int, stride: int) -> Map:
        return layers.SeparableConv2D(
            filters, kernel, stride, "same", "channels_last", use_bias=False, dtype=self.dtype, name=name
        )(x)

    def norm(self, x: Map, name: str) -> Map:
        decay, epsilon = self.config.batch_norm_decay, self.config.batch_norm_epsilon
        return layers.BatchNormalization(-1, momentum=decay, epsilon=epsilon, dtype=self.dtype, name=name)(x)

    def relu(self, x: Map, name: str) -> Map:
        return layers.ReLU(dtype=self.dtype, name=name)(x)

    def maximum(self, x: Map, stride: int, name: str, kernel: int = 3) -> Map:
        return layers.MaxPooling2D(kernel, stride, "same", "channels_last", dtype=self.dtype, name=name)(x)

    def average(self, x: Map, stride: int, name: str) -> Map:
        return average_pool_same(x, stride, self.dtype, name)

    def every_second(self, x: Map, offset: int, name: str) -> Map:
        """Return every second pixel from ``offset`` on, which is 0 or 1; both give ceil(size / 2) pixels.

        Offset 1 pads zeros on the right and at the bottom and crops the first row and column. So it reads that
        padding where the side is odd.
        """
        if offset:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), "channels_last", dtype=self.dtype, name=f"{name}_pad")(x)
            x = layers.Cropping2D(((1, 0), (1, 0)), "channels_last", dtype=self.dtype, name=f"{name}_crop")(x)
        return layers.AveragePooling2D(1, 2, "valid", "channels_last", dtype=self.dtype, name=name)(x)

    def add(self, maps: list[Map], name: str) -> Map:
        return layers.Add(dtype=self.dtype, name=name)(maps)

    def concatenate(self, maps: list[Map], name: str) -> Map:
        return layers.Concatenate(-1, dtype=self.dtype, name=name)(maps)


Operation: TypeAlias = "Callable[[Cell, Map, int, str], Map]"
"""A function of (cell, map, stride, place), with places such as ``left3``."""


@dataclass(frozen=True)
class Cell:
    """One cell. ``id`` is keras.applications' number or word for it. Without ``keep_prob`` it has no drop path.

    ``letter`` is the family's in the name of the cell's scope, ``operations`` are those of the wiring.
    """

    make: Layers
    wiring: Wiring
    id: str
    filters: int
    keep_prob: float | None = None
    letter: str = "A"
    operations: Mapping[str, Operation] = field(default_factory=lambda: OPERATIONS)

    def __call__(self, x: Map, previous: Map | None = None) -> Map:
        """Return the (N, h, w, len(output) * filters) output for the outputs of the last cell and the one before it.

        ``previous`` may be twice as large as ``x``. A first cell has none and takes ``x`` for both.
        """
        kind, make = self.wiring.kind, self.make
        with keras.name_scope(f"{kind}_{self.letter}_block_{self.id}"):
            with keras.name_scope("adjust_block"):
                fitted = x if previous is None else self.fit_previous(previous, x)
            states = [self.fit(make.relu(x, self.name("relu_1")), "1"), fitted]
            for number, branches in enumerate(self.wiring.combinations, start=1):
                with keras.name_scope(f"block_{number}"):
                    sides = zip(("left", "right"), branches, strict=True)
                    maps = [self._branch(f"{side}{number}", branch, states) for side, branch in sides]
                    states.append(make.add(maps, self.name(f"add_{number}")))
            for state, part in ((CURRENT, "path_current"), (PREVIOUS, "path")):
                if state in self.wiring.output:
                    states[state] = self._fit_output(states[state], part)
            return make.concatenate([states[state] for state in self.wiring.output], self.name("concat"))

    def fit_previous(self, previous: Map, x: Map) -> Map:
        """Return ``previous`` with the cell's filters and the size of ``x``."""
        make, id = self.make, self.id
        if previous.shape[1:3] != x.shape[1:3]:
            with keras.name_scope(f"adjust_reduction_block_{id}"):
                return self.factorized_reduction(previous)
        if previous.shape[-1] != self.filters:
            with keras.name_scope(f"adjust_projection_block_{id}"):
                previous = make.relu(previous, f"adjust_relu_{id}")
                previous = make.convolution(previous, self.filters, f"adjust_conv_projection_{id}")
                return make.norm(previous, f"adjust_bn_{id}")
        return previous

    def factorized_reduction(self, x: Map, part: str = "adjust", relu: bool = True) -> Map:
        """Halve ``x``: half of the filters come from the even pixels, half (or one more) from the odd ones."""
        make, id, filters = self.make, self.id, self.filters
        if relu:
            x = make.relu(x, f"{part}_relu_1_{id}")
        even = make.every_second(x, 0, f"{part}_avg_pool_1_{id}")
        odd = make.every_second(x, 1, f"{part}_avg_pool_2_{id}")
        halves = [
            make.convolution(even, filters // 2, f"{part}_conv_1_{id}"),
            make.convolution(odd, filters - filters // 2, f"{part}_conv_2_{id}"),
        ]
        return make.norm(make.concatenate(halves, f"{part}_concat_{id}"), f"{part}_bn_{id}")

    def _fit_output(self, x: Map, part: str) -> Map:
        """Bring one of the first two states to the size and filters of the cell's output."""
        if self.wiring.stride == 2:
            return self.factorized_reduction(x, part, relu=False)
        return self.fit(x, part) if x.shape[-1] != self.filters else x

    def name(self, part: str) -> str:
        """Return the name of one of the cell's layers."""
        return f"{self.wiring.kind}_{part}_{self.id}"

    def fit(self, x: Map, part: str, stride: int = 1) -> Map:
        """Bring ``x`` to the cell's filters by a 1x1 convolution and batch norm."""
        x = self.make.convolution(x, self.filters, self.name(f"conv_{part}"), stride=stride)
        return self.make.norm(x, self.name(f"bn_{part}"))

    def _branch(self, place: str, branch: Branch, states: list[Map]) -> Map:
        x = self.operations[branch.operation](self, states[branch.state], self.wiring.stride_of(branch), place)
        if branch.operation == "identity" or self.keep_prob is None:
            return x
        return DropPath(self.keep_prob, dtype=self.make.dtype, name=self.name(f"drop_path_{place}"))(x)


def _separables(cell: Cell, x: Map, stride: int, place: str, kernel: int) -> Map:
    """Apply ReLU, separable convolution and batch norm, twice; the first convolution has the stride."""
    make, wiring = cell.make, cell.wiring
    # keras.applications gives the reduction's fifth combination this name.
    place = "left4" if (wiring.kind, place) == ("reduction", "left5") else place
    block = f"{wiring.kind}_{place}_{cell.id}"
    with keras.name_scope(f"separable_conv_block_{block}"):
        for number, step in enumerate((stride, 1), start=1):
            x = make.relu(x, f"separable_conv_{number}_relu_{block}")
            x = make.separable(x, cell.filters, f"separable_conv_{number}_{block}", kernel, step)
            x = make.norm(x, f"separable_conv_{number}_bn_{block}")
    return x


def _identity(cell: Cell, x: Map, stride: int, place: str) -> Map:
    """Return ``x`` itself; where filters or stride change, apply ReLU and a 1x1 convolution."""
    if stride == 1 and x.shape[-1] == cell.filters:
        return x
    return cell.fit(cell.make.relu(x, cell.name(f"relu_{place}")), place, stride)


def pool(cell: Cell, x: Map, stride: int, place: str, kind: Callable[[Layers, Map, int, str], Map]) -> Map:
    """Apply a pool. Where the filters change, a 1x1 convolution without ReLU follows."""
    x = kind(cell.make, x, stride, cell.name(place))
    return x if x.shape[-1] == cell.filters else cell.fit(x, place)


OPERATIONS: dict[str, Operation] = {
    "separable_3x3": partial(_separables, kernel=3),
    "separable_5x5": partial(_separables, kernel=5),
    "separable_7x7": partial(_separables, kernel=7),
    "average_3x3": partial(pool, kind=Layers.average),
    "maximum_3x3": partial(pool, kind=Layers.maximum),
    "identity": _identity,
}
"""The operations of ``design.Branch``."""


# ---- the network


def auxiliary_head(make: Layers, x: Map, num_classes: int) -> Map:
    """Return the logits of a second classifier on a cell's output, for training. Its names are keras-contrib's.

    Its last convolution covers the whole pooled map.
    """
    first, second = make.config.aux_filters
    pool = partial(layers.AveragePooling2D, AUX_POOL, AUX_STRIDE, "valid", "channels_last")
    with keras.name_scope("auxiliary_branch"):
        x = pool(dtype=make.dtype, name="aux_pool")(make.relu(x, "aux_relu"))
        x = make.norm(make.convolution(x, first, "aux_conv_projection"), "aux_bn_projection")
        x = make.relu(x, "aux_relu_projection")
        x = make.convolution(x, second, "aux_conv_reduction", kernel=x.shape[1], pad="valid")
        x = make.relu(make.norm(x, "aux_bn_reduction"), "aux_relu_reduction")
        x = layers.Flatten("channels_last", dtype=make.dtype, name="aux_flatten")(x)
        return layers.Dense(num_classes, dtype=make.dtype, name="aux_predictions")(x)


def cell_network(
    config: Config,
    cells: Iterable[tuple[str, Step]],
    num_classes: int,
    input_size: int,
    dtype: str,
    drop_path: bool,
    aux: bool,
    name: str,
    in_channels: int,
    letter: str = "A",
    operations: Mapping[str, Operation] = OPERATIONS,
) -> keras.Model:
    """Return a stack of cells: (N, input_size, input_size, in_channels) in, (N, num_classes) logits out.

    ``cells`` are the cells with their ids; ``letter`` and ``operations`` go to ``Cell``. With 0 classes the network
    ends at the (N, channels) features. With ``aux`` the outputs are both logits, the auxiliary head's second; training
    adds their losses with weight 0.4 (nasnet.py). Every layer is Keras' own, so that a saved model loads without
    porter. Training mode has dropout and, only with ``drop_path``, scheduled drop path. That needs porter's
    ``DropPath`` and the callback ``DropPathSchedule(config.total_training_steps)``.
    """
    make = Layers(config, dtype)
    images = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    stride, pad = (2, "valid") if config.stem == "imagenet" else (1, "same")
    x = make.convolution(images, config.stem_filters, "stem_conv1", kernel=3, stride=stride, pad=pad)

    outputs = [None, make.norm(x, "stem_bn1")]  # before the first cell there is only the stem's
    cells, aux_logits = list(cells), []
    aux_step = auxiliary_step([step for _, step in cells]) if aux else None
    for id, step in cells:
        keep_prob = step.keep_prob if drop_path and step.keep_prob < 1 else None
        cell = Cell(make, step.wiring, id, step.filters, keep_prob, letter, operations)
        outputs.append(cell(outputs[-1], outputs[step.previous]))
        if step == aux_step:
            aux_logits.append(auxiliary_head(make, outputs[-1], num_classes))

    x = make.relu(outputs[-1], "relu")
    x = layers.GlobalAveragePooling2D("channels_last", dtype=dtype, name="global_average_pooling2d")(x)
    if num_classes:
        x = layers.Dropout(1 - config.dense_dropout_keep_prob, dtype=dtype, name="dropout")(x)
        x = layers.Dense(num_classes, dtype=dtype, name="predictions")(x)
    return keras.Model(images, [x, *aux_logits] if aux_logits else x, name=name)


# ---- NASNet-A


def cell_id(step: Step, config: Config) -> str:
    """Return keras.applications' number or word for a cell. It skips one number after the first reduction."""
    if step.role == "normal":
        return str(step.number + (step.stage > 0))
    return {"stem": f"stem_{step.number + 1}", "reduction": f"reduce_{step.stage * config.cells_per_stage}"}[step.role]


def nasnet(
    config: Config,
    num_classes: int,
    input_size: int,
    dtype: str,
    drop_path: bool,
    aux: bool = False,
    name: str = "nasnet",
    in_channels: int = 3,
) -> keras.Model:
    """Return NASNet-A. The arguments are those of ``cell_network``."""
    cells = [(cell_id(step, config), step) for step in plan(config)]
    return cell_network(config, cells, num_classes, input_size, dtype, drop_path, aux, name, in_channels)


def nasnet_large(
    num_classes: int = 1001,
    input_size: int = 331,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return NASNet-A (6 @ 4032), for images in [-1, 1]."""
    return nasnet(LARGE, num_classes, input_size, dtype, drop_path, aux, "nasnet_large", in_channels)


def nasnet_mobile(
    num_classes: int = 1001,
    input_size: int = 224,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return NASNet-A (4 @ 1056), for images in [-1, 1]. Its drop path drops nothing, as in slim."""
    return nasnet(MOBILE, num_classes, input_size, dtype, drop_path, aux, "nasnet_mobile", in_channels)


def nasnet_cifar(
    num_classes: int = 10,
    input_size: int = 32,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return NASNet-A (6 @ 768), for standardized images."""
    return nasnet(CIFAR, num_classes, input_size, dtype, drop_path, aux, "nasnet_cifar", in_channels)
