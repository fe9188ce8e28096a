"""TF-Slim's networks: the `nets` of the tf-models-research-object-detection package.

Options of a record: ``slim_name`` is the network's name in slim's nets_factory, ``network_kwargs`` (optional) are
further arguments of its network function.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from porter.catalog.seeded_weights import probe_indices, seeded
from porter.runners.golden import golden_images
from recorders import Description, Recipe, RecordError, Shape

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Network:
    """One of slim's networks, alone in its graph.

    ``images`` is the NHWC placeholder, ``endpoints`` maps slim's own names to its activations, ``variables`` keep the
    order of their creation.
    """

    graph: tf.Graph
    images: tf.Tensor
    logits: tf.Tensor
    endpoints: dict[str, tf.Tensor]
    variables: list[tf.Variable]


class HParams(SimpleNamespace):
    """Stand-in for tf.contrib.training.HParams, with what slim's networks use of it."""

    def set_hparam(self, name: str, value: object) -> None:
        """Change one hyper-parameter."""
        setattr(self, name, value)


@functools.cache
def nets_factory() -> ModuleType:
    """Import slim's nets_factory, with stand-ins for what TensorFlow has since removed.

    Call this before anything else imports TensorFlow, which reads these settings only once.
    """
    # Other kernels round differently: a golden's float32 values come from the plain CPU kernels.
    os.environ |= {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    try:
        import tensorflow as tf
        import tf_slim  # noqa: F401
        from tf_keras.src.legacy_tf_layers import normalization

        nets = importlib.import_module("object_detection.nets")
    except ImportError as error:
        raise RecordError(
            f"module {error.name} is missing: install TensorFlow, then run "
            "pip install --no-deps -r golden/requirements.txt"
        ) from error
    tf.get_logger().setLevel("ERROR")
    warnings.filterwarnings("ignore", message="`.*` is deprecated and will be removed")

    contrib = ModuleType("tensorflow.contrib")
    vars(contrib)["training"] = SimpleNamespace(HParams=HParams)
    sys.modules |= {
        # Slim's modules import each other from `nets`; its distribution installs them elsewhere.
        "nets": nets,
        # TensorFlow still looks here for the v1 batch norm, which tf-keras has moved.
        "tf_keras.legacy_tf_layers.normalization": normalization,
        # Gone since TensorFlow 2; NASNet's configurations are its HParams.
        "tensorflow.contrib": contrib,
    }
    vars(np)["int"] = int  # gone since NumPy 1.24; MobileNet V3 uses it on import
    return importlib.import_module("nets.nets_factory")


def unfused_batch_norm() -> AbstractContextManager[object]:
    """Make slim build batch norm from elementary operations, by the same formula.

    TensorFlow's fused batch norm has no float64 kernel. Several networks request it explicitly, so an arg_scope around
    them has no effect.
    """
    layers = importlib.import_module("tf_slim.layers.layers")
    fused = layers.normalization_layers.BatchNormalization
    unfused = SimpleNamespace(BatchNormalization=lambda **kw: fused(**kw | {"fused": False}))
    return mock.patch.object(layers, "normalization_layers", unfused)


@contextmanager
def compared_by_identity() -> Iterator[None]:
    """Let TensorFlow compare tensors by identity, as TensorFlow 1 does, for which these networks are written.

    Layers put all variables into sets again and again, and comparing them by value takes a third of the time or more.
    """
    import tensorflow.compat.v1 as tf

    tf.disable_tensor_equality()
    try:
        yield
    finally:
        tf.enable_tensor_equality()


def build(recipe: Recipe, dtype: str = "float32", training: bool = False) -> Network:
    """Build the recipe's network with slim's own code, in a new graph.

    A ``training`` graph also has what only a training checkpoint holds: global_step and the auxiliary head.
    """
    slim_name, arguments = _options(recipe)
    function = nets_factory().get_network_fn(slim_name, recipe.num_classes, is_training=training)
    import tensorflow.compat.v1 as tf

    shape = (None, recipe.input_size, recipe.input_size, 3)
    with (
        tf.Graph().as_default() as graph,
        unfused_batch_norm() if dtype == "float64" else nullcontext(),
        compared_by_identity(),
    ):
        if training:
            tf.train.get_or_create_global_step()
        images = tf.placeholder(dtype, shape, name="input")
        logits, endpoints = function(images, **arguments)
        return Network(graph, images, logits, in_graph_order(graph, endpoints), tf.global_variables())


def in_graph_order(graph: tf.Graph, endpoints: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Sort the endpoints by the place of their ops: MobileNet V2 and V3 name a block's output before its insides."""
    place = {op: index for index, op in enumerate(graph.get_operations())}
    return dict(sorted(endpoints.items(), key=lambda endpoint: place[endpoint[1].op]))


def _options(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    options = dict(recipe.options)
    slim_name, arguments = options.pop("slim_name", None), options.pop("network_kwargs", {})
    if slim_name is None or options:
        raise RecordError(f"slim takes slim_name and network_kwargs, got {', '.join(recipe.options) or 'neither'}")
    return slim_name, arguments


def run(recipe: Recipe, network: Network, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the logits and the endpoints (NHWC) of the network with name-seeded weights."""
    import tensorflow.compat.v1 as tf

    with tf.Session(graph=network.graph) as session:
        weights = {
            variable.initial_value: seeded(variable.op.name, variable.shape.as_list(), recipe.salt, recipe.gain)
            for variable in network.variables
        }
        # A single run: load() for each of NASNet's 1546 variables takes minutes.
        session.run([variable.initializer for variable in network.variables], weights)
        logits, endpoints = session.run((network.logits, network.endpoints), {network.images: images})
        return logits, endpoints


Build = Callable[..., Network]
"""A function like ``build``: of the recipe, the dtype and ``training``."""


def measure(recipe: Recipe) -> dict[str, np.ndarray]:
    """Return golden.npz's arrays: logits (images, classes) and the probes of each endpoint (images, PROBES)."""
    return measured(recipe, build, recipe.options["slim_name"])


def measured(recipe: Recipe, build: Build, name: str) -> dict[str, np.ndarray]:
    """Return golden.npz's arrays of the network that ``build`` returns, which readers call ``name``."""
    # Both precisions see the same float32 pixels, in one batch: a single image runs through kernels that round
    # differently.
    images = golden_images(recipe.input_size)
    arrays = {}
    for dtype, prefix in (("float32", "endpoint_float32:"), ("float64", "endpoint:")):
        logits, activations = run(recipe, build(recipe, dtype), images)
        if not np.isfinite(logits).all():
            raise RecordError(f"{name} overflows in {dtype}: lower the recipe's gain")
        arrays[f"logits_{dtype}"] = logits
        for endpoint, values in activations.items():
            flat = values.reshape(len(values), -1)
            arrays[prefix + endpoint] = flat[:, probe_indices(endpoint, flat.shape[1])]
    return arrays


def describe(recipe: Recipe) -> Description:
    """Describe the recipe's network; ``trainable`` comes from the training graph, auxiliary head included."""
    return described(recipe, build, f"{recipe.options['slim_name']} of TF-Slim")


def described(recipe: Recipe, build: Build, origin: str) -> Description:
    """Describe the network that ``build`` returns, which comes from ``origin``."""
    network, training = build(recipe), build(recipe, training=True)
    inference = {variable.op.name for variable in network.variables}

    def shapes(variables: Iterable[tf.Variable]) -> dict[str, Shape]:
        return {variable.op.name: variable.shape.as_list() for variable in variables}

    return Description(
        origin,
        network.logits.op.name,
        {name: tensor.shape.as_list()[1:] for name, tensor in network.endpoints.items()},
        shapes(network.variables),
        shapes(variable for variable in training.variables if variable.op.name not in inference),
        [variable.op.name for variable in training.variables if variable.trainable],
        _graph(network),
    )


def _graph(network: Network) -> Any:
    """Return the GraphDef of what the logits and endpoints depend on.

    This drops each variable's initializer, Assign and IsInitialized, two thirds of the nodes: a reader brings weights.
    """
    from tensorflow.compat.v1 import graph_util

    outputs = [tensor.op.name for tensor in (network.logits, *network.endpoints.values())]
    return graph_util.extract_sub_graph(network.graph.as_graph_def(), outputs)
