"""SavedModelRunner: TensorFlow's own loader runs a SavedModel's signature, as whoever serves the model does.

What porter reads, inlines and freezes has no part in it, so that it judges porter's own reading of the files.
"""

from __future__ import annotations

from porter.runners.tensorflow_settings import before_tensorflow

before_tensorflow()

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from porter.errors import FormatError
from porter.runners.runner import Runner
from porter.runners.tensorflow import reason

_OFF = 2
"""RewriterConfig.OFF (tensorflow/core/protobuf/rewriter_config.proto)."""


class SavedModelRunner(Runner):
    """Loads a SavedModel's graph with ``tags`` into a session, and runs it on parts of images.

    ``parts`` divides images into the tensors ``inputs``, in their order. ``outputs`` maps the names of the results to
    tensors. The caller has checked the ops that loading and running take. Raises FormatError where TensorFlow cannot
    load or run the files.
    """

    label = "TensorFlow's own loader"
    precisions = ("float32",)

    def __init__(
        self,
        folder: Path,
        tags: Iterable[str],
        inputs: Sequence[str],
        outputs: Mapping[str, str],
        parts: Callable[[np.ndarray], list[np.ndarray]],
    ) -> None:
        self.folder, self.inputs, self.outputs, self.parts = folder, inputs, outputs, parts
        self.graph = tf.Graph()
        options = tf.compat.v1.ConfigProto()
        # It would replace functions by others of the same interface, which nobody checked.
        options.graph_options.rewrite_options.implementation_selector = _OFF
        self.session = tf.compat.v1.Session(graph=self.graph, config=options)
        logger = tf.get_logger()
        level = logger.level
        logger.setLevel("ERROR")  # the loader of sessions is called deprecated
        try:
            with self.graph.as_default():
                self._tried(lambda: tf.compat.v1.saved_model.load(self.session, list(tags), str(folder)))
        finally:
            logger.setLevel(level)

    def assign(self, values: Mapping[str, Callable[[], np.ndarray]]) -> None:
        """Give the variables ``values``, in place of those that were loaded."""
        with self.graph.as_default():
            for name, load in values.items():
                self._tried(partial(self._assign, name, load))

    def _assign(self, name: str, load: Callable[[], np.ndarray]) -> None:
        value = load()
        op = self.graph.get_operation_by_name(name)
        given = tf.compat.v1.placeholder(value.dtype, value.shape)
        if op.type == "VarHandleOp":
            assigned = tf.raw_ops.AssignVariableOp(resource=op.outputs[0], value=given)
        else:
            assigned = tf.raw_ops.Assign(ref=op.outputs[0], value=given)
        self.session.run(assigned, {given: value})

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        tensors = [self.graph.get_tensor_by_name(name) for name in self.inputs]
        pairs = zip(tensors, self.parts(images), strict=True)
        fed = {tensor: values.astype(tensor.dtype.as_numpy_dtype) for tensor, values in pairs}
        return self._tried(lambda: self.session.run(dict(self.outputs), fed))  # type: ignore[no-any-return]

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (tf.errors.OpError, ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
            raise FormatError(f"TensorFlow's own loader cannot run {self.folder}: {reason(error)}") from None

    def close(self) -> None:
        """Free the variables."""
        self.session.close()
