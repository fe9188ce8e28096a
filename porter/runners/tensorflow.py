"""TFRunner: TensorFlow runs a frozen graph, the reference itself."""

from __future__ import annotations

from porter.runners.tensorflow_settings import before_tensorflow

before_tensorflow()

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from porter.errors import FormatError
from porter.graph.rewrite.prune import prune
from porter.graph.rewrite.safety import check_ops
from porter.graph.rewrite.widen import rounded_constants, widen
from porter.mapping.table import Table
from porter.runners.runner import Runner, in_graph_order

VERSION: str = tf.__version__


def read_variables(prefix: str | Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read a checkpoint's tensors with TensorFlow's own restore op; bfloat16 becomes float32.

    The op also reads V1 files, several slices and half, which tf.train.load_checkpoint does not.
    """
    names = list(names)
    dtypes = tf.compat.v1.train.NewCheckpointReader(str(prefix)).get_variable_to_dtype_map()
    with tf.device("cpu"):
        tensors = tf.raw_ops.RestoreV2(
            prefix=str(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            dtypes=[dtypes[name] for name in names],
        )
    wide = [tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor for tensor in tensors]
    return {name: tensor.numpy() for name, tensor in zip(names, wide, strict=True)}


class TFRunner(Runner):
    """Feeds a frozen graph's one image input and fetches its endpoints.

    ``graph`` is a GraphDef of the tensorboard package, and ``path`` names it in errors. ``prefix`` stands before the
    table's names. ``judged`` is the endpoint that must be there, the logits by default. The runner prunes the graph to
    what the endpoints need, and checks these ops unless ``trust`` is set.
    Raises FormatError where the graph is not the table's network, or has ops that could do more than compute.
    """

    label = "TensorFlow"
    strict = True

    def __init__(
        self,
        graph: Any,
        table: Table,
        path: Path | str,
        prefix: str = "",
        trust: bool = False,
        judged: str | None = None,
    ) -> None:
        names = {node.name for node in graph.node}
        self.table = table
        self.path = path
        ops = {e.name: prefix + e.where["tf"] for e in table.endpoints if "tf" in e.where}
        self.where = {endpoint: op for endpoint, op in ops.items() if op in names}
        judged = judged or table.logits
        if judged not in self.where:
            wanted = ops[judged]
            raise FormatError(f"{path} has no node {wanted}, the logits: name a graph of {table.name}")
        self.graph = prune(graph, self.where.values(), path)
        if not trust:
            check_ops(self.graph, path)
        inputs = [node for node in self.graph.node if node.op.startswith("Placeholder")]
        if len(inputs) != 1:
            found = ", ".join(node.name for node in inputs) or "none"
            raise FormatError(f"{path} must have one input for its logits, but has {found}: freeze the network alone")
        self.input = inputs[0].name
        sizes = [dim.size for dim in inputs[0].attr["shape"].shape.dim]
        self.one_by_one = bool(sizes) and sizes[0] == 1
        self.sides = tuple(sizes[1:3])
        self.sessions: dict[str, Any] = {}

    @property
    def notes(self) -> list[str]:
        """Name the graph's constants that were rounded to float32, and are used so in float64 too."""
        rounded = rounded_constants(self.graph, self.path)
        if not rounded:
            return []
        return [
            f"{Path(self.path).name} contains {len(rounded)} constant{'' if len(rounded) == 1 else 's'} that float32 "
            f"rounded: float64 uses the graph's own values ({', '.join(rounded[:3])}"
            f"{', …' if len(rounded) > 3 else ''})"
        ]

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        if any(0 < side != given for side, given in zip(self.sides, images.shape[1:3], strict=False)):
            raise FormatError(
                f"{self.path} takes images of {'x'.join(map(str, self.sides))}, not "
                f"{'x'.join(map(str, images.shape[1:3]))}: name the model of that input size"
            )
        session = self._session(images.dtype.name)
        fetches = {name: f"{node}:0" for name, node in self.where.items()}
        step = 1 if self.one_by_one else len(images)
        try:
            runs: list[Mapping[str, np.ndarray]] = [
                session.run(fetches, {f"{self.input}:0": images[at : at + step]}) for at in range(0, len(images), step)
            ]
        except (tf.errors.OpError, ValueError) as error:
            raise FormatError(
                f"TensorFlow cannot run {self.path} on images of shape {images.shape[1:]}: {str(error).splitlines()[0]}"
            ) from None
        return in_graph_order({name: np.concatenate([run[name] for run in runs]) for name in fetches}, self.table)

    def _session(self, precision: str) -> Any:
        if precision not in self.sessions:
            graph = widen(self.graph, self.path) if precision == "float64" else self.graph
            with tf.Graph().as_default() as imported:
                definition = tf.compat.v1.GraphDef.FromString(graph.SerializeToString())
                try:
                    tf.graph_util.import_graph_def(definition, name="")
                except ValueError as error:
                    raise FormatError(f"TensorFlow cannot import {self.path}: {str(error).splitlines()[0]}") from None
                self.sessions[precision] = tf.compat.v1.Session(graph=imported)
        return self.sessions[precision]
