"""NASNet-A (Zoph et al. 2018, arXiv:1707.07012), figures 2 and 4, as data that every framework's network reads.

``NORMAL`` and ``REDUCTION`` are the two cells of figure 4. ``plan`` is figure 2, which stacks them. Numbers, and all
that the paper leaves open, are those of slim/nets/nasnet/nasnet.py and nasnet_utils.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Config:
    """The numbers of one network under slim's names: its ``*_config`` and, for batch norm, its ``*_arg_scope``.

    ``num_cells`` counts the normal cells, the paper's 3N. With ``skip_reduction_layer_input`` the cell after a
    reduction takes its second input from one cell farther back. ``aux_scaling`` is a factor on the auxiliary head's
    filters.
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
    aux_scaling: float = 1.0

    @property
    def cells_per_stage(self) -> int:
        """The paper's N."""
        return self.num_cells // 3

    @property
    def stem_filters(self) -> int:
        """Output channels of the first 3x3 convolution: on ImageNet VALID with stride 2, on CIFAR-10 SAME."""
        return int((32 if self.stem == "imagenet" else self.num_conv_filters) * self.stem_multiplier)

    @property
    def aux_filters(self) -> tuple[int, int]:
        """Output channels of the auxiliary head's two convolutions."""
        first, second = AUX_FILTERS
        return int(first * self.aux_scaling), int(second * self.aux_scaling)


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
"""A cell's first two states: the outputs of the last cell and of the one before it, brought to the cell's filters."""


class Branch(NamedTuple):
    """An operation and the state that it reads.

    The operations, each with its own way to the cell's filters:
    ``separable_KxK``: ReLU, separable convolution, batch norm, all of it twice; the first has the stride.
    ``average_3x3``, ``maximum_3x3``: a pool; where the state has other filters, a 1x1 convolution without ReLU follows.
    ``identity``: the state itself; where filters or stride differ, ReLU and a 1x1 convolution instead.
    """

    operation: str
    state: int


class Wiring(NamedTuple):
    """A cell. Each combination adds its two branches and makes the next state: the first one makes state 2.

    ``kind`` is its word in Keras' names. The cell concatenates the states ``output``; the first two are brought to the
    cell's filters and size. Operations on the first two states have the ``stride``.
    """

    kind: Literal["normal", "reduction"]
    stride: int
    combinations: tuple[tuple[Branch, Branch], ...]
    output: tuple[int, ...]

    def stride_of(self, branch: Branch) -> int:
        """Return the stride of the branch's operation."""
        return self.stride if branch.state in (CURRENT, PREVIOUS) else 1


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


# ---- figure 2: the network


class Step(NamedTuple):
    """A cell's place in the network.

    ``number`` counts the cells of one role from 0, as slim's scopes do. ``stage`` is 0, 1 or 2; a cell with stride 2
    opens its stage. ``previous`` is the place of the second input, counted back from the last output, which is -1. Drop
    path keeps a path with probability ``keep_prob`` at the end of training.
    """

    role: Literal["stem", "normal", "reduction"]
    number: int
    stage: int
    wiring: Wiring
    filters: int
    previous: int = -2
    keep_prob: float = 1.0


def plan(config: Config) -> list[Step]:
    """Return the cells in running order: on ImageNet two reductions as a stem, then three stages of N normal cells.

    A reduction precedes the second and the third stage, and the filters double there. Drop path's keep probability
    falls linearly with depth, over all of these cells.
    """
    filters, rate, repeats = config.num_conv_filters, config.filter_scaling_rate, config.cells_per_stage
    steps = []
    if config.stem == "imagenet":
        steps += [Step("stem", i, 0, REDUCTION, int(filters * rate ** (i - 2))) for i in range(2)]
    for stage in range(3):
        scaled = int(filters * rate**stage)
        if stage:
            steps.append(Step("reduction", stage - 1, stage, REDUCTION, scaled))
        for i in range(repeats):
            skip = stage > 0 and i == 0 and config.skip_reduction_layer_input
            steps.append(Step("normal", stage * repeats + i, stage, NORMAL, scaled, -3 if skip else -2))
    return scheduled(steps, config.drop_path_keep_prob)


def scheduled(steps: Sequence[Step], keep_prob: float) -> list[Step]:
    """Return ``steps`` with drop path: the probability falls linearly from the first cell to ``keep_prob``."""
    dropped = 1 - keep_prob
    return [step._replace(keep_prob=1 - position / len(steps) * dropped) for position, step in enumerate(steps, 1)]


AUX_POOL, AUX_STRIDE, AUX_FILTERS = 5, 3, (128, 768)
"""The auxiliary head, _build_aux_head in nasnet.py: its average pool, and the channels of its two convolutions."""


def auxiliary_step(steps: Sequence[Step]) -> Step:
    """Return the cell whose output the auxiliary head reads: the last one before the second reduction."""
    reductions = [at for at, step in enumerate(steps) if step.role != "stem" and step.wiring.stride == 2]
    return steps[reductions[1] - 1]
