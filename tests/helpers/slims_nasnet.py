"""slim's own NASNet and PNASNet, run by TensorFlow: its cells on random maps, its stack of them, its numbers."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from porter.catalog.goldens import recorded
from porter.catalog.seeded_weights import seeded


class Case:
    """A cell of a table, on random maps of another width: ``size`` is that of the larger map."""

    filters, channels, previous_channels = 7, 10, 6

    def __init__(self, table: str, scope: str, kind: str, previous: str) -> None:
        self.table, self.scope, self.kind, self.previous = table, scope, kind, previous

    def maps(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        random = np.random.default_rng(3)
        here = tuple(-(-side // 2) for side in size) if self.previous == "larger" else size
        x = random.standard_normal((2, *here, self.channels))
        if self.previous == "none":
            return x, None
        return x, random.standard_normal((2, *size, self.previous_channels))


CASES = {
    "normal behind a reduction": Case("nasnet_large", "cell_0", "normal", "larger"),
    "normal": Case("nasnet_large", "cell_1", "normal", "same"),
    "normal behind a stem": Case("nasnet_cifar", "cell_0", "normal", "none"),
    "reduction behind a stem": Case("nasnet_large", "cell_stem_0", "reduction", "none"),
    "reduction behind a reduction": Case("nasnet_large", "cell_stem_1", "reduction", "larger"),
    "reduction": Case("nasnet_large", "reduction_cell_0", "reduction", "same"),
}
PNASNETS_CASES = {
    "first": Case("pnasnet_large", "cell_stem_0", "reduction", "none"),
    "reduction behind a reduction": Case("pnasnet_large", "cell_stem_1", "reduction", "larger"),
    "normal behind a reduction": Case("pnasnet_large", "cell_0", "normal", "larger"),
    "normal": Case("pnasnet_large", "cell_1", "normal", "same"),
    "reduction": Case("pnasnet_large", "cell_4", "reduction", "same"),
}


def slims_cell(
    slim: SimpleNamespace, case: Case, size: tuple[int, int], drop: Any = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what slim's cell computes in float64, and its name-seeded variables. ``drop`` stands in for drop_path."""
    tf, x = slim.tf, case.maps(size)
    kinds = {"normal": slim.utils.NasNetANormalCell, "reduction": slim.utils.NasNetAReductionCell}
    kind = slim.pnasnet.PNasNetNormalCell if case.table.startswith("pnasnet") else kinds[case.kind]
    cell = kind(case.filters, 1.0 if drop is None else 0.5, total_num_cells=4, total_training_steps=100)
    channels_last = [
        *(slim.layers.avg_pool2d, slim.layers.max_pool2d, slim.layers.conv2d),
        *(slim.layers.batch_norm, slim.layers.separable_conv2d),
        *(slim.utils.factorized_reduction, slim.utils.get_channel_index, slim.utils.get_channel_dim),
    ]
    with (
        tf.Graph().as_default(),
        slim.unfused_batch_norm(),
        mock.patch.object(slim.utils, "drop_path", drop or slim.utils.drop_path),
        slim.layers.arg_scope(slim.nasnet.nasnet_large_arg_scope()),
        slim.layers.arg_scope([slim.layers.batch_norm], is_training=False),
        slim.layers.arg_scope(channels_last, data_format="NHWC"),
    ):
        net, previous = (None if values is None else tf.constant(values) for values in x)
        stride = 2 if case.kind == "reduction" else 1
        output = cell(net, case.scope, stride=stride, prev_layer=previous, cell_num=1, current_step=50)
        variables = {v.op.name: seeded(v.op.name, v.shape.as_list()) for v in tf.global_variables()}
        feed = {v.initial_value: variables[v.op.name] for v in tf.global_variables()}
        with tf.Session() as session:
            session.run(tf.global_variables_initializer(), feed)
            return session.run(output), variables


def slims_factorized_reduction(
    slim: SimpleNamespace, size: tuple[int, int], filters: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return a random map, what slim's factorized reduction of ``cell_0`` makes of it, and its variables."""
    tf, x = slim.tf, np.random.default_rng(4).standard_normal((2, *size, 5))
    with (
        tf.Graph().as_default(),
        slim.unfused_batch_norm(),
        slim.layers.arg_scope(slim.nasnet.nasnet_large_arg_scope()),
        slim.layers.arg_scope([slim.layers.batch_norm], is_training=False),
        slim.layers.arg_scope([slim.layers.conv2d, slim.utils.factorized_reduction], data_format="NHWC"),
        tf.variable_scope("cell_0"),
        tf.Session() as session,
    ):
        output = slim.utils.factorized_reduction(tf.nn.relu(tf.constant(x)), filters, 2)
        variables = {v.op.name: seeded(v.op.name, v.shape.as_list()) for v in tf.global_variables()}
        session.run(
            tf.global_variables_initializer(), {v.initial_value: variables[v.op.name] for v in tf.global_variables()}
        )
        want = session.run(output)
    return x, want, variables


SlimCell = tuple[str, int, int, str | None, Any]
"""A cell's scope, stride, filters and the op of its second input, if it has one."""


def slims_plan(
    slim: SimpleNamespace, name: str, family: str = "nasnet"
) -> tuple[list[SlimCell], dict[int, list[float]]]:
    """Return slim's cells in their order, and each one's probability to keep a path after some steps of training.

    Each cell is replaced by a map of its shape.
    """
    tf, module = slim.tf, getattr(slim, family)
    calls: list[tuple[str, int, int, str | None, Any]] = []

    def call(self: Any, net: Any, scope: str, **how: Any) -> Any:
        self._cell_num = how["cell_num"]
        with mock.patch.object(slim.utils, "drop_path", lambda net, keep_prob: keep_prob):
            keep = self._apply_drop_path(net, current_step=step)
        previous = how["prev_layer"]
        filters = int(self._num_conv_filters * how["filter_scaling"])
        keep = 1.0 if keep is net else keep
        calls.append((scope, how["stride"], filters, None if previous is None else previous.op.name, keep))
        blocks = list(self._used_hiddenstates).count(0)
        sides = [-(-side // how["stride"]) for side in net.shape.as_list()[1:3]]
        return tf.zeros([1, *sides, blocks * filters], name=scope)

    with tf.Graph().as_default(), mock.patch.object(slim.utils.NasNetABaseCell, "__call__", call):
        step, size = tf.placeholder(tf.float32), recorded(f"{family}_{name}").input_size
        with slim.layers.arg_scope(getattr(module, f"{family}_{name}_arg_scope")()):
            getattr(module, f"build_{family}_{name}")(tf.zeros([1, size, size, 3]), 10)
        with tf.Session() as session:
            tensors = [tf.convert_to_tensor(keep) for *_, keep in calls]
            keeps = {at: session.run(tensors, {step: at}) for at in (0, 1000, 200_000, 2_000_000)}
    return calls, keeps


def slims_numbers(slim: SimpleNamespace, name: str, family: str = "nasnet") -> dict[str, Any]:
    """Return slim's configuration of ``name``: large, mobile or cifar; batch norm's numbers among the rest."""
    module = getattr(slim, family)
    numbers = vars(getattr(module, f"{name}_config" if name == "cifar" else f"{name}_imagenet_config")())
    scope = inspect.signature(inspect.unwrap(getattr(module, f"{family}_{name}_arg_scope"))).parameters
    return numbers | {key: p.default for key, p in scope.items() if key.startswith("batch_norm_")}


def distance(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest difference in standard deviations of ``want``."""
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / want.std())
