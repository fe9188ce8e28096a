"""PNASNet-5 (Liu et al. 2018, arXiv:1712.00559), its figure 1, as data for NASNet's machinery.

One cell makes the whole network: with stride 2 it is the stem's cells and the reductions. Numbers, and all that the
paper leaves open, are those of slim/nets/nasnet/pnasnet.py.
"""

from __future__ import annotations

from porter.nets.nasnet.design import CURRENT, PREVIOUS, Branch, Config, Step, Wiring, scheduled

LARGE = Config(
    stem="imagenet",
    num_cells=12,
    num_conv_filters=216,
    stem_multiplier=3.0,
    skip_reduction_layer_input=True,
    dense_dropout_keep_prob=0.5,
    drop_path_keep_prob=0.6,
    total_training_steps=250_000,
)
MOBILE = Config(
    stem="imagenet",
    num_cells=9,
    num_conv_filters=54,
    stem_multiplier=1.0,
    skip_reduction_layer_input=True,
    dense_dropout_keep_prob=0.5,
    drop_path_keep_prob=1.0,
    total_training_steps=250_000,
)
"""``num_cells`` counts the reductions too. Every cell's second input is the output before the last."""

# PNasNetNormalCell.
CELL = Wiring(
    kind="normal",
    stride=1,
    combinations=(
        (Branch("separable_5x5", PREVIOUS), Branch("maximum_3x3", PREVIOUS)),
        (Branch("separable_7x7", CURRENT), Branch("maximum_3x3", CURRENT)),
        (Branch("separable_5x5", CURRENT), Branch("separable_3x3", CURRENT)),
        (Branch("separable_3x3", 4), Branch("maximum_3x3", CURRENT)),
        (Branch("separable_3x3", PREVIOUS), Branch("identity", CURRENT)),
    ),
    output=(2, 3, 4, 5, 6),
)


def plan(config: Config) -> list[Step]:
    """Return the cells in running order: two of stride 2 as a stem, then three stages of equally many cells.

    The first cell of the second and of the third stage has stride 2, and the filters double there.
    """
    filters, rate, reduction = config.num_conv_filters, config.filter_scaling_rate, CELL._replace(stride=2)
    steps = [Step("stem", i, 0, reduction, int(filters * rate ** (i - 2))) for i in range(2)]
    for number in range(config.num_cells):
        stage, place = divmod(number, config.cells_per_stage)
        wiring = reduction if stage and not place else CELL
        steps.append(Step("normal", number, stage, wiring, int(filters * rate**stage)))
    return scheduled(steps, config.drop_path_keep_prob)
