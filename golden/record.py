"""Record goldens: what the authors' own TF-Slim code computes from name-seeded weights.

    pip install --no-deps -r golden/requirements.txt    # beside porter and TensorFlow
    python golden/record.py mobilenet_v1_1.0_224

Each record of models.toml becomes a folder of three files:

variables.json  the recipe, every endpoint's shape, every variable's name and shape
golden.npz      the pictures' logits and a few probes of each endpoint: in float32, as the
                networks were released, and in float64, as the truth to measure both against
graph.pb.gz     the float32 inference GraphDef, its variables not frozen
"""

from __future__ import annotations

import argparse
import functools
import gzip
import importlib
import io
import json
import os
import sys
import time
import tomllib
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from porter.catalog.seeded_weights import probe_indices, seeded
from porter.runners.golden import golden_images

if TYPE_CHECKING:
    import tensorflow as tf

HERE = Path(__file__).resolve().parent


class RecordError(Exception):
    """A golden cannot be recorded; the message says what to do about it."""


@dataclass(frozen=True)
class Recipe:
    """One record of models.toml, which explains the fields."""

    slim_name: str
    input_size: int
    num_classes: int
    salt: int
    gain: float
    network_kwargs: dict[str, Any] = field(default_factory=dict)
    model: str | None = None


@dataclass(frozen=True)
class Network:
    """One of slim's networks, alone in its graph.

    ``images`` is the NHWC placeholder, ``endpoints`` are slim's own names for its activations,
    ``variables`` come in the order of their creation.
    """

    graph: tf.Graph
    images: tf.Tensor
    logits: tf.Tensor
    endpoints: dict[str, tf.Tensor]
    variables: list[tf.Variable]


def recipes() -> dict[str, Recipe]:
    """Return every record of models.toml by its golden's name."""
    records = tomllib.loads((HERE / "models.toml").read_text(encoding="utf-8"))
    return {name: Recipe(**record) for name, record in records.items()}


class HParams(SimpleNamespace):
    """Stand-in for tf.contrib.training.HParams, as far as slim's networks use it."""

    def set_hparam(self, name: str, value: object) -> None:
        """Change one hyper-parameter."""
        setattr(self, name, value)


@functools.cache
def nets_factory() -> ModuleType:
    """Import slim's nets_factory into a TensorFlow that no longer has all that it asks for.

    Call it before anything else imports TensorFlow, which reads these settings only once.
    """
    # Other kernels round differently: a golden's float32 is that of the plain CPU kernels.
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
            f"no module {error.name}: install TensorFlow, then run pip install --no-deps -r golden/requirements.txt"
        ) from error
    tf.get_logger().setLevel("ERROR")
    warnings.filterwarnings("ignore", message="`.*` is deprecated and will be removed")

    contrib = ModuleType("tensorflow.contrib")
    vars(contrib)["training"] = SimpleNamespace(HParams=HParams)
    sys.modules |= {
        # Slim's modules import each other from `nets`, which its distribution installs elsewhere.
        "nets": nets,
        # Where TensorFlow still looks for the v1 batch norm that tf-keras has moved.
        "tf_keras.legacy_tf_layers.normalization": normalization,
        # Gone since TensorFlow 2; NASNet's configurations are its HParams.
        "tensorflow.contrib": contrib,
    }
    vars(np)["int"] = int  # gone since NumPy 1.24; MobileNet V3 asks for it when imported
    return importlib.import_module("nets.nets_factory")


def unfused_batch_norm() -> AbstractContextManager[object]:
    """Have slim build batch norm from elementary operations, in the same formula.

    TensorFlow's fused one has no float64 kernel, and several networks insist on it, so that an
    arg_scope around them would not do.
    """
    layers = importlib.import_module("tf_slim.layers.layers")
    fused = layers.normalization_layers.BatchNormalization
    unfused = SimpleNamespace(BatchNormalization=lambda **kw: fused(**kw | {"fused": False}))
    return mock.patch.object(layers, "normalization_layers", unfused)


def build(recipe: Recipe, dtype: str = "float32", training: bool = False) -> Network:
    """Let slim's own code build the recipe's network in a new graph.

    A ``training`` graph has in addition what only a training checkpoint holds: global_step and
    the auxiliary head.
    """
    function = nets_factory().get_network_fn(recipe.slim_name, recipe.num_classes, is_training=training)
    import tensorflow.compat.v1 as tf

    shape = (None, recipe.input_size, recipe.input_size, 3)
    with (
        tf.Graph().as_default() as graph,
        unfused_batch_norm() if dtype == "float64" else nullcontext(),
    ):
        if training:
            tf.train.get_or_create_global_step()
        images = tf.placeholder(dtype, shape, name="input")
        logits, endpoints = function(images, **recipe.network_kwargs)
        return Network(graph, images, logits, endpoints, tf.global_variables())


def run(recipe: Recipe, network: Network, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the logits and the endpoints that the network with seeded weights gives, NHWC."""
    import tensorflow.compat.v1 as tf

    with tf.Session(graph=network.graph) as session:
        weights = {
            variable.initial_value: seeded(variable.op.name, variable.shape.as_list(), recipe.salt, recipe.gain)
            for variable in network.variables
        }
        # In a single run: a load() for each of NASNet's 1546 variables takes minutes.
        session.run([variable.initializer for variable in network.variables], weights)
        logits, endpoints = session.run((network.logits, network.endpoints), {network.images: images})
        return logits, endpoints


def measure(recipe: Recipe, networks: Mapping[str, Network]) -> dict[str, np.ndarray]:
    """Return golden.npz's arrays, given the recipe's network in "float32" and in "float64".

    Logits have shape (pictures, classes), endpoints (pictures, PROBES).
    """
    # Rounded to float32 for both. One batch: a picture alone runs through kernels that round
    # differently.
    images = golden_images(recipe.input_size)
    arrays = {}
    for dtype, prefix in (("float32", "endpoint_float32:"), ("float64", "endpoint:")):
        logits, activations = run(recipe, networks[dtype], images)
        if not np.isfinite(logits).all():
            raise RecordError(f"{recipe.slim_name} overflows in {dtype}: lower the recipe's gain")
        arrays[f"logits_{dtype}"] = logits
        for endpoint, values in activations.items():
            flat = values.reshape(len(values), -1)
            arrays[prefix + endpoint] = flat[:, probe_indices(endpoint, flat.shape[1])]
    return arrays


def describe(recipe: Recipe, network: Network, training: Network) -> dict[str, Any]:
    """Return variables.json's fields; shapes are without the batch.

    ``trainable`` is told by the training graph, so it includes the auxiliary head.
    """
    inference = [variable.op.name for variable in network.variables]

    def shapes(variables: Iterable[tf.Variable]) -> list[tuple[str, list[int]]]:
        return [(variable.op.name, variable.shape.as_list()) for variable in variables]

    return {key: value for key, value in asdict(recipe).items() if value is not None} | {
        "logits_tensor": network.logits.op.name,
        "endpoints": {name: tensor.shape.as_list()[1:] for name, tensor in network.endpoints.items()},
        "eval_variables": shapes(network.variables),
        "train_only_variables": shapes(
            variable for variable in training.variables if variable.op.name not in inference
        ),
        "trainable": [variable.op.name for variable in training.variables if variable.trainable],
    }


def to_json(fields: Mapping[str, Any]) -> str:
    """Return ``fields`` as JSON with every item of a list or table on a line of its own."""
    lines = []
    for key, value in fields.items():
        text = json.dumps(value)
        if isinstance(value, dict | list) and value:
            # One dumps for each item keeps its shape on its line, where indent= would spread it.
            if isinstance(value, dict):
                items = [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
            else:
                items = [json.dumps(item) for item in value]
            text = text[0] + "\n    " + ",\n    ".join(items) + "\n  " + text[-1]
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def to_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return ``arrays`` as a compressed .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # taken for allow_pickle
    return buffer.getvalue()


def to_graph(network: Network) -> bytes:
    """Return the network's gzipped GraphDef, the same bytes each time.

    Only what the logits and endpoints depend on is kept, as slim built it. What goes is each
    variable's initializer, Assign and IsInitialized: two thirds of the nodes, of no use to a
    reader who brings the weights.
    """
    from tensorflow.compat.v1 import graph_util

    outputs = [tensor.op.name for tensor in (network.logits, *network.endpoints.values())]
    graph = graph_util.extract_sub_graph(network.graph.as_graph_def(), outputs)
    return gzip.compress(graph.SerializeToString(deterministic=True), mtime=0)


def record(name: str, out: Path) -> Path:
    """Record the golden ``name`` into the folder ``out/name``, and return that folder."""
    known = recipes()
    if name not in known:
        raise RecordError(f"models.toml has no {name}: check the name, or add a line for it")
    recipe = known[name]
    networks = {dtype: build(recipe, dtype) for dtype in ("float32", "float64")}
    training = build(recipe, training=True)
    files = {
        "variables.json": to_json(describe(recipe, networks["float32"], training)).encode(),
        "golden.npz": to_npz(measure(recipe, networks)),
        "graph.pb.gz": to_graph(networks["float32"]),
    }
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        # Written beside and renamed: whoever interrupts it finds the old file or the new one.
        part = folder / f"{file}.part"
        part.write_bytes(content)
        part.replace(folder / file)
    return folder


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="record.py", description="Record goldens from the authors' own code.")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a record of models.toml, or all")
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE,
        metavar="FOLDER",
        help="where to write MODEL/ (default: the folder of this script)",
    )
    arguments = parser.parse_args()
    names = list(recipes()) if "all" in arguments.models else arguments.models
    for name in names:
        start = time.perf_counter()
        try:
            folder = record(name, arguments.out)
        except RecordError as error:
            parser.exit(2, f"record.py: {error}\n")
        print(f"{folder}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
