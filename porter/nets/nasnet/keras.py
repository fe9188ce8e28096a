"""NASNet-A (Zoph et al. 2018, arXiv:1707.07012), figures 2 and 4, with keras.applications' layer names.

Figure 4's two cells stand below as data, ``NORMAL`` and ``REDUCTION``; figure 2 is ``plan``, which stacks them.
Numbers and everything that the paper leaves open are those of slim/nets/nasnet/nasnet.py and nasnet_utils.py.
keras.applications has the same layers but another arithmetic: in its reduction cells it pads with zeros and then
pools, so that averages count the padding and maxima may be it. docs/nasnet.md says how far that goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import keras
from keras import layers

from porter.nets.layers_keras import DropPath, average_pool_same


@dataclass(frozen=True)
class Config:
    """A network's numbers, by slim's names: its ``*_config`` and, for batch norm, its ``*_arg_scope``.

    ``num_cells`` are the normal cells, the paper's 3N. With ``skip_reduction_layer_input`` the cell behind a
    reduction passes over two cells for its second input, not over one.
    """

    stem: Literal["imagenet", "cifar"]
    num_cells: int
    num_conv_filters: int
    stem_multiplier: float
    skip_reduction_layer_input: bool
    dense_dropout_keep_prob: float
    drop_path_keep_prob: float
    total_training_steps: int
    filter_scaling_rate: float = 2.0
    batch_norm_epsilon: float = 1e-3
    batch_norm_decay: float = 0.9997


LARGE = Config(
    stem="imagenet",
    num_cells=18,
    num_conv_filters=168,
    stem_multiplier=3.0,
    skip_reduction_layer_input=True,
    dense_dropout_keep_prob=0.5,
    drop_path_keep_prob=0.7,
    total_training_steps=250_000,
)
MOBILE = Config(
    stem="imagenet",
    num_cells=12,
    num_conv_filters=44,
    stem_multiplier=1.0,
    skip_reduction_layer_input=False,
    dense_dropout_keep_prob=0.5,
    drop_path_keep_prob=1.0,
    total_training_steps=250_000,
)
CIFAR = Config(
    stem="cifar",
    num_cells=18,
    num_conv_filters=32,
    stem_multiplier=3.0,
    skip_reduction_layer_input=False,
    dense_dropout_keep_prob=1.0,
    drop_path_keep_prob=0.6,
    total_training_steps=937_500,
    batch_norm_epsilon=1e-5,
    batch_norm_decay=0.9,
)


# ---- figure 4: the cells

CURRENT, PREVIOUS = 0, 1
"""A cell's first two states: the outputs of the cell before it and of the one before that, brought to its filters."""


class Branch(NamedTuple):
    """An operation, and the state that it works on."""

    operation: str
    state: int


class Wiring(NamedTuple):
    """A cell. Each combination adds its two branches and is the next state: the first one is state 2.

    ``output`` are the states that are concatenated; the operations on the first two states have the ``stride``.
    """

    kind: str
    stride: int
    combinations: tuple[tuple[Branch, Branch], ...]
    output: tuple[int, ...]


# nasnet_utils.py: NasNetANormalCell and NasNetAReductionCell.
NORMAL = Wiring(
    kind="normal",
    stride=1,
    combinations=(
        (Branch("separable_5x5", CURRENT), Branch("separable_3x3", PREVIOUS)),
        (Branch("separable_5x5", PREVIOUS), Branch("separable_3x3", PREVIOUS)),
        (Branch("average_3x3", CURRENT), Branch("identity", PREVIOUS)),
        (Branch("average_3x3", PREVIOUS), Branch("average_3x3", PREVIOUS)),
        (Branch("separable_3x3", CURRENT), Branch("identity", CURRENT)),
    ),
    output=(PREVIOUS, 2, 3, 4, 5, 6),
)
REDUCTION = Wiring(
    kind="reduction",
    stride=2,
    combinations=(
        (Branch("separable_5x5", CURRENT), Branch("separable_7x7", PREVIOUS)),
        (Branch("maximum_3x3", CURRENT), Branch("separable_7x7", PREVIOUS)),
        (Branch("average_3x3", CURRENT), Branch("separable_5x5", PREVIOUS)),
        (Branch("identity", 3), Branch("average_3x3", 2)),
        (Branch("separable_3x3", 2), Branch("maximum_3x3", CURRENT)),
    ),
    output=(3, 4, 5, 6),
)

Map: TypeAlias = keras.KerasTensor


@dataclass(frozen=True)
class Layers:
    """The layers of one network: each method takes an (N, H, W, C) map and returns one."""

    config: Config
    dtype: str

    def convolution(self, x: Map, filters: int, name: str, kernel: int = 1, stride: int = 1, pad: str = "same") -> Map:
        return layers.Conv2D(
            filters, kernel, stride, pad, "channels_last", use_bias=False, dtype=self.dtype, name=name
        )(x)

    def separable(self, x: Map, filters: int, name: str, kernel: int, stride: int) -> Map:
        return layers.SeparableConv2D(
            filters, kernel, stride, "same", "channels_last", use_bias=False, dtype=self.dtype, name=name
        )(x)

    def norm(self, x: Map, name: str) -> Map:
        decay, epsilon = self.config.batch_norm_decay, self.config.batch_norm_epsilon
        return layers.BatchNormalization(-1, momentum=decay, epsilon=epsilon, dtype=self.dtype, name=name)(x)

    def relu(self, x: Map, name: str) -> Map:
        return layers.ReLU(dtype=self.dtype, name=name)(x)

    def maximum(self, x: Map, stride: int, name: str) -> Map:
        return layers.MaxPooling2D(3, stride, "same", "channels_last", dtype=self.dtype, name=name)(x)

    def average(self, x: Map, stride: int, name: str) -> Map:
        return average_pool_same(x, stride, self.dtype, name)

    def every_second(self, x: Map, offset: int, name: str) -> Map:
        """Return every second pixel from ``offset`` on, 0 or 1; both have ceil(size / 2).

        So offset 1 pads right and bottom with zeros and crops the first row and column; of a map with an odd side
        it sees that padding.
        """
        if offset:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), "channels_last", dtype=self.dtype, name=f"{name}_pad")(x)
            x = layers.Cropping2D(((1, 0), (1, 0)), "channels_last", dtype=self.dtype, name=f"{name}_crop")(x)
        return layers.AveragePooling2D(1, 2, "valid", "channels_last", dtype=self.dtype, name=name)(x)

    def add(self, maps: list[Map], name: str) -> Map:
        return layers.Add(dtype=self.dtype, name=name)(maps)

    def concatenate(self, maps: list[Map], name: str) -> Map:
        return layers.Concatenate(-1, dtype=self.dtype, name=name)(maps)


@dataclass(frozen=True)
class Cell:
    """One cell. ``id`` is keras.applications' number or word for it; ``keep_prob`` is drop path's, None for none."""

    make: Layers
    wiring: Wiring
    id: str
    filters: int
    keep_prob: float | None = None

    def __call__(self, x: Map, previous: Map | None = None) -> Map:
        """Return (N, h, w, len(output) * filters) of the outputs of the last cell and of the one before it, if any.

        Without the latter, in the first cell, ``x`` is both. It may be twice as large as ``x``.
        """
        kind, make = self.wiring.kind, self.make
        with keras.name_scope(f"{kind}_A_block_{self.id}"):
            with keras.name_scope("adjust_block"):
                fitted = x if previous is None else self.fit_previous(previous, x)
            states = [self._fit(make.relu(x, self._name("relu_1")), "1"), fitted]
            for number, branches in enumerate(self.wiring.combinations, start=1):
                with keras.name_scope(f"block_{number}"):
                    sides = zip(("left", "right"), branches, strict=True)
                    maps = [self._branch(f"{side}{number}", branch, states) for side, branch in sides]
                    states.append(make.add(maps, self._name(f"add_{number}")))
            if PREVIOUS in self.wiring.output and fitted.shape[-1] != self.filters:
                states[PREVIOUS] = self._fit(fitted, "path")
            return make.concatenate([states[state] for state in self.wiring.output], self._name("concat"))

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

    def factorized_reduction(self, x: Map) -> Map:
        """Return ``x`` halved: half of the filters from the even pixels, half (or one more) from the odd ones."""
        make, id, filters = self.make, self.id, self.filters
        x = make.relu(x, f"adjust_relu_1_{id}")
        even = make.every_second(x, 0, f"adjust_avg_pool_1_{id}")
        odd = make.every_second(x, 1, f"adjust_avg_pool_2_{id}")
        halves = [
            make.convolution(even, filters // 2, f"adjust_conv_1_{id}"),
            make.convolution(odd, filters - filters // 2, f"adjust_conv_2_{id}"),
        ]
        return make.norm(make.concatenate(halves, f"adjust_concat_{id}"), f"adjust_bn_{id}")

    def _name(self, part: str) -> str:
        return f"{self.wiring.kind}_{part}_{self.id}"

    def _fit(self, x: Map, part: str, stride: int = 1) -> Map:
        """Return ``x`` brought to the cell's filters by a 1x1 convolution and batch norm."""
        x = self.make.convolution(x, self.filters, self._name(f"conv_{part}"), stride=stride)
        return self.make.norm(x, self._name(f"bn_{part}"))

    def _branch(self, place: str, branch: Branch, states: list[Map]) -> Map:
        stride = self.wiring.stride if branch.state in (CURRENT, PREVIOUS) else 1
        x = OPERATIONS[branch.operation](self, states[branch.state], stride, place)
        if branch.operation == "identity" or self.keep_prob is None:
            return x
        return DropPath(self.keep_prob, dtype=self.make.dtype, name=self._name(f"drop_path_{place}"))(x)


def _separables(cell: Cell, x: Map, stride: int, place: str, kernel: int) -> Map:
    """ReLU, separable convolution, batch norm; all of it twice, the first with the stride."""
    make, wiring = cell.make, cell.wiring
    # keras.applications calls the reduction's fifth combination so.
    place = "left4" if (wiring.kind, place) == ("reduction", "left5") else place
    block = f"{wiring.kind}_{place}_{cell.id}"
    with keras.name_scope(f"separable_conv_block_{block}"):
        for number, step in enumerate((stride, 1), start=1):
            x = make.relu(x, f"separable_conv_{number}_relu_{block}")
            x = make.separable(x, cell.filters, f"separable_conv_{number}_{block}", kernel, step)
            x = make.norm(x, f"separable_conv_{number}_bn_{block}")
    return x


def _identity(cell: Cell, x: Map, stride: int, place: str) -> Map:
    """Return ``x`` itself, unless a 1x1 must bring it to the cell's filters or stride."""
    if stride == 1 and x.shape[-1] == cell.filters:
        return x
    return cell._fit(cell.make.relu(x, cell._name(f"relu_{place}")), place, stride)


def _pool(cell: Cell, x: Map, stride: int, place: str, pool: Callable[[Layers, Map, int, str], Map]) -> Map:
    """Return a 3x3 pool; its 1x1, where one must bring the map to the cell's filters, has no ReLU before it."""
    x = pool(cell.make, x, stride, cell._name(place))
    return x if x.shape[-1] == cell.filters else cell._fit(x, place)


OPERATIONS: dict[str, Callable[[Cell, Map, int, str], Map]] = {
    "separable_3x3": partial(_separables, kernel=3),
    "separable_5x5": partial(_separables, kernel=5),
    "separable_7x7": partial(_separables, kernel=7),
    "average_3x3": partial(_pool, pool=Layers.average),
    "maximum_3x3": partial(_pool, pool=Layers.maximum),
    "identity": _identity,
}
"""Every operation as a function of (cell, map, stride, place), where the place is such as ``left3``."""


# ---- figure 2: the network


class Step(NamedTuple):
    """A cell's place in the network. ``previous`` counts outputs back from the last one, which is -1."""

    wiring: Wiring
    id: str
    filters: int
    previous: int = -2


def plan(config: Config) -> list[Step]:
    """Return the cells in the order in which they run: on ImageNet two reductions, then three stages of N cells.

    A reduction stands before the second stage and the third, and the filters double there.
    """
    filters, rate, repeats = config.num_conv_filters, config.filter_scaling_rate, config.num_cells // 3
    steps = []
    if config.stem == "imagenet":
        steps += [Step(REDUCTION, f"stem_{i + 1}", int(filters * rate ** (i - 2))) for i in range(2)]
    for stage in range(3):
        scaled = int(filters * rate**stage)
        if stage:
            steps.append(Step(REDUCTION, f"reduce_{stage * repeats}", scaled))
        for i in range(repeats):
            # keras.applications passes over one number behind the first reduction.
            id = str(stage * repeats + i + (stage > 0))
            skip = stage > 0 and i == 0 and config.skip_reduction_layer_input
            steps.append(Step(NORMAL, id, scaled, -3 if skip else -2))
    return steps


def auxiliary_head(make: Layers, x: Map, num_classes: int) -> Map:
    """Return a second classifier's logits on a cell's output, for training; its names are keras-contrib's.

    Its last convolution covers the whole pooled map.
    """
    with keras.name_scope("auxiliary_branch"):
        x = make.relu(x, "aux_relu")
        x = layers.AveragePooling2D(5, 3, "valid", "channels_last", dtype=make.dtype, name="aux_pool")(x)
        x = make.norm(make.convolution(x, 128, "aux_conv_projection"), "aux_bn_projection")
        x = make.relu(x, "aux_relu_projection")
        x = make.convolution(x, 768, "aux_conv_reduction", kernel=x.shape[1], pad="valid")
        x = make.relu(make.norm(x, "aux_bn_reduction"), "aux_relu_reduction")
        x = layers.Flatten("channels_last", dtype=make.dtype, name="aux_flatten")(x)
        return layers.Dense(num_classes, dtype=make.dtype, name="aux_predictions")(x)


def nasnet(
    config: Config,
    num_classes: int,
    input_size: int,
    dtype: str,
    drop_path: bool,
    aux: bool = False,
    name: str = "nasnet",
) -> keras.Model:
    """Return NASNet-A: (N, input_size, input_size, 3) in, (N, num_classes) logits out.

    0 classes end at the (N, channels) features. With ``aux`` the outputs are both logits, the auxiliary head's
    second; their losses are added with the weight 0.4 (nasnet.py). Every layer is Keras' own, so that a saved model
    loads without porter. In training mode it has dropout and, only with ``drop_path``, scheduled drop path, which
    needs porter's ``DropPath`` and the callback ``DropPathSchedule(config.total_training_steps)``.
    """
    make = Layers(config, dtype)
    images = keras.Input((input_size, input_size, 3), dtype=dtype, name="images")
    if config.stem == "imagenet":
        x = make.convolution(images, int(32 * config.stem_multiplier), "stem_conv1", kernel=3, stride=2, pad="valid")
    else:
        x = make.convolution(images, int(config.num_conv_filters * config.stem_multiplier), "stem_conv1", kernel=3)

    outputs = [None, make.norm(x, "stem_bn1")]  # before the first cell there is only the stem's
    steps = plan(config)
    # The auxiliary head hangs on the last cell before the last reduction.
    aux_behind = max(position for position, step in enumerate(steps) if step.wiring is REDUCTION)
    aux_logits = []
    for position, (wiring, id, filters, previous) in enumerate(steps, start=1):
        # Drop path's keep probability falls linearly with depth, stem cells and reductions included.
        keep_prob = 1 - position / len(steps) * (1 - config.drop_path_keep_prob)
        cell = Cell(make, wiring, id, filters, keep_prob if drop_path and keep_prob < 1 else None)
        outputs.append(cell(outputs[-1], outputs[previous]))
        if aux and position == aux_behind:
            aux_logits.append(auxiliary_head(make, outputs[-1], num_classes))

    x = make.relu(outputs[-1], "relu")
    x = layers.GlobalAveragePooling2D("channels_last", dtype=dtype, name="global_average_pooling2d")(x)
    if num_classes:
        x = layers.Dropout(1 - config.dense_dropout_keep_prob, dtype=dtype, name="dropout")(x)
        x = layers.Dense(num_classes, dtype=dtype, name="predictions")(x)
    return keras.Model(images, [x, *aux_logits] if aux_logits else x, name=name)


def nasnet_large(
    num_classes: int = 1001,
    input_size: int = 331,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
) -> keras.Model:
    """NASNet-A (6 @ 4032), for pictures in [-1, 1]."""
    return nasnet(LARGE, num_classes, input_size, dtype, drop_path, aux, "nasnet_large")


def nasnet_mobile(
    num_classes: int = 1001,
    input_size: int = 224,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
) -> keras.Model:
    """NASNet-A (4 @ 1056), for pictures in [-1, 1]. Its drop path drops nothing, as slim's."""
    return nasnet(MOBILE, num_classes, input_size, dtype, drop_path, aux, "nasnet_mobile")


def nasnet_cifar(
    num_classes: int = 10,
    input_size: int = 32,
    dtype: str = "float32",
    drop_path: bool = False,
    aux: bool = False,
) -> keras.Model:
    """NASNet-A (6 @ 768), for standardized pictures."""
    return nasnet(CIFAR, num_classes, input_size, dtype, drop_path, aux, "nasnet_cifar")
