"""AmoebaNet: models/official/amoeba_net of github.com/tensorflow/tpu, which is on no package index.

Record it from a clone: ``python golden/record.py MODEL --code CLONE``. Options of a record: ``cell_name`` names the
cells in model_specs.py, ``commit`` is the last commit that changed the folder, and ``hparams`` (optional) are further
hyper-parameters, over those of build_hparams in amoeba_net_model.py.
"""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from recorders import Description, Recipe, RecordError
from recorders.slim import HParams, Network, described, in_graph_order, measured, nets_factory

FOLDER = "models/official/amoeba_net"
TRAINING_STEPS = 4_003_646
"""drop_path_burn_in_steps, as _build_network in amoeba_net_model.py sets it: 100 epochs of 32 images a step."""


class _HParams(HParams):
    """Stand-in for tf.contrib.training.HParams, with what AmoebaNet uses of it."""

    add_hparam = HParams.set_hparam

    def get(self, name: str, default: object = None) -> object:
        """Return one hyper-parameter, ``default`` where there is none."""
        return getattr(self, name, default)


def _stand_in(name: str, **members: object) -> dict[str, ModuleType]:
    """Return the module ``name`` with ``members``, as sys.modules lists it."""
    module = ModuleType(name)
    vars(module).update(members)
    return {name: module}


@functools.cache
def code(folder: Path) -> dict[str, ModuleType]:
    """Import the authors' modules from a clone, with stand-ins for what TensorFlow has since removed."""
    nets_factory()  # sets TensorFlow up
    import tensorflow.compat.v1 as tf
    import tf_slim

    arg_scope = importlib.import_module("tf_slim.ops.arg_scope")
    ops = {"add_arg_scope": arg_scope.add_arg_scope, "arg_scope": arg_scope.arg_scope}
    training = _stand_in("tensorflow.contrib.training", HParams=_HParams)
    sys.modules |= {
        **training,
        **_stand_in("tensorflow.contrib.framework", variable=tf_slim.variable, **ops),
        **_stand_in("tensorflow.contrib.framework.python"),
        **_stand_in("tensorflow.contrib.framework.python.ops", **ops),
        **_stand_in("tensorflow.contrib.tpu"),
        **_stand_in("tensorflow.contrib.tpu.python"),
        **_stand_in("tensorflow.contrib.tpu.python.ops", tpu_ops=None),
        "tensorflow.contrib.slim": tf_slim,
        "tensorflow.contrib.layers": tf_slim,
        # Only the trainer needs these two.
        **_stand_in("tensorflow.compat.v1.estimator"),
        **_stand_in("inception_preprocessing"),
    }
    contrib = sys.modules["tensorflow.contrib"]
    for name in ("framework", "tpu", "slim", "layers", "training"):
        setattr(contrib, name, sys.modules[f"tensorflow.contrib.{name}"])
    sys.path.insert(0, str(folder / FOLDER))
    try:
        return {name: importlib.import_module(name) for name in ("amoeba_net_model", "model_builder")}
    except ImportError as error:
        raise RecordError(f"{folder / FOLDER} has no module {error.name}: name a clone of tensorflow/tpu") from error
    finally:
        sys.path.remove(str(folder / FOLDER))
        tf.get_logger().setLevel("ERROR")


def _folder(recipe: Recipe) -> Path:
    """Return the clone. Raises RecordError unless its code is that of the recipe's commit."""
    if recipe.code is None:
        raise RecordError("AmoebaNet's code is on no package index: name a clone of tensorflow/tpu with --code")
    # The folder's files decide, not the clone's own HEAD.
    asked = ["git", "-C", str(recipe.code), "log", "-1", "--format=%H", "--", FOLDER]
    changed = ["git", "-C", str(recipe.code), "status", "--porcelain", "--", FOLDER]
    found, dirty = (subprocess.run(each, capture_output=True, text=True, check=False) for each in (asked, changed))
    if found.stdout.strip() != recipe.options["commit"] or dirty.stdout.strip():
        raise RecordError(
            f"{recipe.code} has {FOLDER} of the commit {found.stdout.strip() or 'none'}, the recipe that of "
            f"{recipe.options['commit']}: check that commit out, or correct the recipe"
        )
    return recipe.code


@contextmanager
def _in_float64() -> Iterator[None]:
    """Build in float64: unfused batch norm by the same formula, float64 variables, and no cast to float32."""
    import tensorflow.compat.v1 as tf

    def batch_norm(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float, **_: Any) -> Any:
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon), mean, variance

    cast = tf.cast
    with (
        mock.patch.object(tf.nn, "fused_batch_norm", batch_norm),
        mock.patch.object(tf, "cast", lambda x, *args: x if x.dtype == tf.float64 else cast(x, *args)),
        tf.variable_scope(tf.get_variable_scope(), dtype=tf.float64),
    ):
        yield


def build(recipe: Recipe, dtype: str = "float32", training: bool = False) -> Network:
    """Build the recipe's network with the authors' own code, in a new graph.

    A ``training`` graph also has what only a training checkpoint holds: global_step and the auxiliary head.
    """
    modules = code(_folder(recipe))
    import tensorflow.compat.v1 as tf

    hparams = modules["amoeba_net_model"].build_hparams(recipe.options["cell_name"])
    for name, value in {
        "drop_path_burn_in_steps": TRAINING_STEPS,
        "use_aux_head": training,
        **recipe.options.get("hparams", {}),
    }.items():
        hparams.set_hparam(name, value)
    shape = (None, recipe.input_size, recipe.input_size, 3)
    with tf.Graph().as_default() as graph, _in_float64() if dtype == "float64" else nullcontext():
        # The Estimator makes one first, otherwise drop path makes one in the first cell's scope.
        tf.train.get_or_create_global_step()
        images = tf.placeholder(dtype, shape, name="input")
        logits, found = modules["model_builder"].build_network(images, recipe.num_classes, training, hparams)
        outputs = {f"cell_output_{at}": cell for at, cell in enumerate(found["cell_outputs"]) if at}
        outputs |= {name: found[name] for name in ("global_pool", "logits", "predictions")}
        model = {variable.op.name for variable in tf.model_variables()}
        variables = [each for each in tf.global_variables() if training or each.op.name in model]
        return Network(graph, images, logits, in_graph_order(graph, outputs), variables)


def _origin(recipe: Recipe) -> str:
    return f"{recipe.options['cell_name']} of tensorflow/tpu at commit {recipe.options['commit'][:10]}"


def describe(recipe: Recipe) -> Description:
    """Describe the recipe's network; ``trainable`` comes from the training graph, auxiliary head included."""
    return described(recipe, build, _origin(recipe))


def measure(recipe: Recipe) -> dict[str, np.ndarray]:
    """Return golden.npz's arrays: logits (images, classes) and the probes of each endpoint (images, PROBES)."""
    return measured(recipe, build, recipe.options["cell_name"])
