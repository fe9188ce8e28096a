"""TFRunner: TensorFlow runs a frozen graph, the reference itself."""

from __future__ import annotations

from porter.runners.tensorflow_settings import before_tensorflow

before_tensorflow()

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from porter.errors import FormatError, plural
from porter.graph.functions import build_graph
from porter.graph.graph import Ref
from porter.graph.rewrite.channels_last import channels_last
from porter.graph.rewrite.prune import prune
from porter.graph.rewrite.safety import check_ops
from porter.graph.rewrite.weights_apart import weights_apart
from porter.graph.rewrite.widen import rounded_constants, widen
from porter.mapping.table import Table
from porter.runners.runner import Runner, in_graph_order

VERSION: str = tf.__version__
_OFF = 2
"""RewriterConfig.OFF (tensorflow/core/protobuf/rewriter_config.proto)."""


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


def run_steps(graph: Any, feed: str, output: Ref, value: np.ndarray, path: Path | str) -> np.ndarray:
    """Return the tensor ``output`` of the checked GraphDef ``graph``, fed with ``value``. Raises FormatError."""
    with tf.Graph().as_default() as imported:
        try:
            definition = tf.compat.v1.GraphDef.FromString(graph.SerializeToString())
            tf.graph_util.import_graph_def(definition, name="")
            with tf.compat.v1.Session(graph=imported) as session:
                return np.asarray(session.run(f"{output.node}:{output.slot}", {feed: value}))
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise FormatError(f"TensorFlow cannot run the preprocessing of {path}: {reason(error)}") from None


class TFRunner(Runner):
    """Feeds a frozen graph's one image input and fetches its endpoints.

    ``graph`` is a GraphDef of the tensorboard package, and ``path`` names it in errors. ``where`` maps endpoints to
    their nodes, by default those that the table names. ``judged`` is the endpoint that must be there, the logits by
    default; ``lacking`` are endpoints that the graph lost, and ``whole`` are maps that it reads whole, not cropped. The
    runner prunes the graph to what the endpoints need, and checks these ops unless ``trust`` is set.
    NCHW ops compute in NHWC; inputs with a default keep it. Where the graph computes with a fixed batch, images are
    run in such batches, the last one filled up with its last image.
    Raises FormatError where the graph is not the table's network, or has ops that could do more than compute.
    """

    label = "TensorFlow"
    strict = True

    def __init__(
        self,
        graph: Any,
        table: Table,
        path: Path | str,
        where: Mapping[str, str] | None = None,
        trust: bool = False,
        judged: str | None = None,
    ) -> None:
        names = {node.name for node in graph.node}
        self.table = table
        self.path = path
        ops = {e.name: e.where["tf"] for e in table.endpoints if "tf" in e.where} if where is None else where
        self.where = {endpoint: op for endpoint, op in ops.items() if op in names}
        judged = judged or table.judged
        if judged not in self.where:
            what = "the logits" if judged == table.logits else "an output"
            raise FormatError(f"{path} has no node {ops.get(judged, judged)}, {what}: name a graph of {table.name}")
        pruned = prune(graph, self.where.values(), path)
        if not trust:
            check_ops(pruned, path)
        whole, self.channels_first = channels_last(pruned, path)
        placeholder = self._placeholder(whole)
        self.input = placeholder.name
        sizes = [dim.size for dim in placeholder.attr["shape"].shape.dim]
        self.stated_batch = sizes[0] if sizes else -1
        self.sides = tuple(sizes[1:3])
        if sizes:
            placeholder.attr["shape"].shape.dim[0].size = -1
        self.graph, self.weights = weights_apart(whole, path)
        self.defaults = [node.name for node in self.graph.node if node.op == "PlaceholderWithDefault"]
        self.lacking: Sequence[str] = ()
        self.whole: Sequence[str] = ()
        self.sessions: dict[str, Any] = {}
        self.batch: int | None = None

    def _placeholder(self, graph: Any) -> Any:
        """Return the node that images are fed to. Raises FormatError where it is not the only input without a value."""
        inputs = [node for node in graph.node if node.op in ("Placeholder", "PlaceholderV2")]
        inputs = inputs or [node for node in graph.node if node.op == "PlaceholderWithDefault"]
        if len(inputs) != 1:
            found = ", ".join(node.name for node in inputs) or "none"
            raise FormatError(
                f"{self.path} must have one input for its logits, but has {found}: freeze the network alone"
            )
        return inputs[0]

    @property
    def notes(self) -> list[str]:
        """Name the endpoints that the graph lacks, the inputs that keep their defaults, and rounded constants."""
        name, notes = Path(self.path).name, []
        if self.lacking:
            count = sum("tf" in endpoint.where for endpoint in self.table.endpoints)
            notes.append(f"{name} lacks {len(self.lacking)} of {count} endpoints{_more(self.lacking)}")
        for whole in self.whole:
            notes.append(
                f"{name} reads {whole} as one crop, as the port does: its proposals and crops are not compared"
            )
        if options := [option for option in self.defaults if option != self.input]:
            notes.append(f"{name} runs with the defaults of inputs{_more(options)}")
        if rounded := rounded_constants(self.graph, self.path):
            notes.append(
                f"{name} contains {plural(len(rounded), 'constant')} that float32 rounded: float64 uses the graph's "
                f"own values ({', '.join(rounded[:3])}{', …' if len(rounded) > 3 else ''})"
            )
        return notes

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        if any(0 < side != given for side, given in zip(self.sides, images.shape[1:3], strict=False)):
            raise FormatError(
                f"{self.path} takes images of {'x'.join(map(str, self.sides))}, not "
                f"{'x'.join(map(str, images.shape[1:3]))}: name the model of that input size"
            )
        session = self._session(images.dtype.name)
        fetches = {name: f"{node}:0" for name, node in self.where.items()}
        step = self.batch or len(images)
        parts = [images[at : at + step] for at in range(0, len(images), step)]
        weights = {f"{name}:0": values.astype(images.dtype, copy=False) for name, values in self.weights.items()}
        try:
            runs = [self._run(session, fetches, part, weights, step) for part in parts]
        except (tf.errors.OpError, ValueError) as error:
            raise FormatError(
                f"TensorFlow cannot run {self.path} on images of {'x'.join(map(str, images.shape[1:]))}: "
                f"{reason(error)}; name the model, and the image size, that the graph was built for"
            ) from None
        whole = {name: np.concatenate([run[name] for run in runs]) for name in fetches} if len(runs) > 1 else runs[0]
        return in_graph_order(whole, self.table)

    def _run(
        self, session: Any, fetches: Mapping[str, str], images: np.ndarray, weights: Mapping[str, np.ndarray], step: int
    ) -> dict[str, np.ndarray]:
        """Run a batch, filled up to ``step`` images, and return the endpoints of ``images``, channels last."""
        spare = np.repeat(images[-1:], step - len(images), axis=0)
        values = session.run(fetches, {f"{self.input}:0": np.concatenate([images, spare]), **weights})
        outputs, flat = {}, {e.name for e in self.table.endpoints if e.logits or e.softmax}
        for name, found in values.items():
            turned = found.ndim == 4 and self.where[name] in self.channels_first
            whole = found.transpose(0, 2, 3, 1) if turned else found
            whole = whole[: len(images)] if len(spare) else whole  # of an inner tensor, the first axis may be another
            outputs[name] = whole.reshape(len(images), -1) if name in flat else whole
        return outputs

    def _session(self, precision: str) -> Any:
        if precision not in self.sessions:
            wide, options = precision == "float64", tf.compat.v1.ConfigProto()
            # Only float32 keeps the optimizer: its rounding is the original's.
            options.graph_options.rewrite_options.disable_meta_optimizer = wide
            with tf.Graph().as_default() as imported:
                definition = tf.compat.v1.GraphDef.FromString(self._serialized(wide))
                try:
                    tf.graph_util.import_graph_def(definition, name="")
                except ValueError as error:
                    raise FormatError(f"TensorFlow cannot import {self.path}: {reason(error)}") from None
                if _has_groups(imported):
                    options.graph_options.rewrite_options.remapping = _OFF
                self.sessions[precision] = tf.compat.v1.Session(graph=imported, config=options)
            self.batch = self._fixed_batch(imported)
        return self.sessions[precision]

    def _serialized(self, wide: bool) -> bytes:
        return (widen(self.graph, self.path) if wide else self.graph).SerializeToString()  # type: ignore[no-any-return]

    def _fixed_batch(self, imported: Any) -> int | None:
        """Return the batch that the graph computes with whatever it is fed, as a Reshape to [32, 1001] does."""
        if self.stated_batch < 1:
            return None
        fed = build_graph(self.graph).reached([self.input])
        shapes = [output.shape for op in imported.get_operations() if op.name in fed for output in op.outputs]
        fixed = any(shape.rank and shape.rank > 1 and shape[0] == self.stated_batch for shape in shapes)
        return self.stated_batch if fixed else None


def _has_groups(imported: Any) -> bool:
    """Tell whether a convolution has groups: on a CPU TensorFlow runs it, but not fused with its bias."""
    layers = [op.inputs for op in imported.get_operations() if op.type == "Conv2D"]
    return any(x.shape.rank == 4 and x.shape[-1] not in (None, kernel.shape[2]) for x, kernel in layers)


def _more(names: Sequence[str]) -> str:
    return f": {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"


def reason(error: Exception) -> str:
    """Return the line of TensorFlow's message that says what is wrong."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("[[")]
    said = [
        line for line in lines if not re.match(r"Graph execution error|Detected at node|Node: |\(\d+\) |Errors? ", line)
    ]
    first = (said or lines or ["no reason given"])[0]
    # Messages name nodes as {{node x}}, and begin with a place in TensorFlow's own code.
    return re.sub(r"\{\{node (\S+?)\}\}", r"\1", re.sub(r"^\{\{function_node .*?\}\} ", "", first)).rstrip(".")
