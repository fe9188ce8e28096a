"""The roles of a checkpoint's entries: variables, their moving averages, and the state of training.

A role follows from the name alone, by the suffixes that TensorFlow's own classes add, and by the scopes in which a
detector keeps numbers that nobody trained.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

VARIABLE = "variable"
SHADOW = "EMA shadow"
SLOT = "optimizer slot"
COUNTER = "step counter"
DEBIAS = "zero-debias slot"
RANGE = "quantization range"
METRIC = "metric"
SETTING = "training setting"
ANCHOR = "anchor constant"
LIMIT = "post-processing constant"
UNTRAINED = frozenset({ANCHOR, LIMIT})
"""Roles of the constants that stand beside the weights in a detector's frozen graph."""

SHADOW_SUFFIX = "/ExponentialMovingAverage"
"""tf.train.ExponentialMovingAverage's default name, which slim keeps."""

# The slot names that tf.train's optimizers append to a variable's name (tensorflow/python/training/).
_SLOT = re.compile(
    r"(?P<variable>.+)/(Momentum|RMSProp|RMSPropW|Adam|AdamW|AdamWeightDecayOptimizer|adam_[mv]|Adagrad|AdagradDA"
    r"|Adadelta|Ftrl|LARSOptimizer|LAMB|gradient_accumulator|gradient_squared_accumulator)(_\d+)?"
)
_SLOT_SCALAR = re.compile(r"(.*/)?beta[12]_power(_\d+)?")
# tf.keras' optimizers of graph mode keep their numbers in variables of their own scope (keras/optimizers.py).
_KERAS = r"(training/)?(SGD|RMSprop|Adagrad|Adadelta|Adam|Adamax|Nadam)(_\d+)?"
# good_steps and bad_steps count those of a loss scale; epochs are counted by tf.train.limit_epochs.
_COUNTER = re.compile(
    r"(.*/)?(global_step|save_counter|optimizer_step|(good|bad)_steps|limit_epochs/epochs)(_\d+)?"
    rf"|{_KERAS}/iter(ations)?"
)
# The loss scale of mixed precision (tensorflow/python/training/experimental/loss_scale.py, tf.contrib.mixed_precision),
# and rates in variables, which a session or a callback sets.
_SETTING = re.compile(
    r"(.*/)?((current_)?loss_scale|learning_rate)(_\d+)?"
    rf"|{_KERAS}/(lr|learning_rate|decay|momentum|rho|beta_[12]|epsilon|schedule_decay|m_schedule)"
)
# assign_moving_average(zero_debias=True) repeats the variable's whole name behind its scope.
_DEBIAS = re.compile(r"(?P<scoped>.+)/(biased|local_step)")

# The ranges that quantization-aware training learns for each FakeQuant's input, and the slots of their averages
# (tensorflow/contrib/quantize/python/quant_ops.py).
_RANGE = re.compile(r"(?P<scoped>.*_quant/(.*/)?)(min|max)(/(biased|local_step))?")

# The scopes of TensorFlow's Object Detection API: name_scope() in object_detection/anchor_generators/, postprocess() in
# object_detection/meta_architectures/, and the node that export_tflite_graph_lib.py adds.
_ANCHOR = re.compile(r"(.*/)?(\w*GridAnchorGenerator(_\d+)?/.+|anchors)")
_LIMIT = re.compile(r"(.*/)?((First|Second)Stage)?Postprocessor(_\d+)?/.+")

# Where Keras keeps the state of training: beside the layers of a .keras or .weights.h5
# (keras/src/saving/saving_lib.py), in optimizer_weights of a legacy .h5
# (keras/src/legacy/saving/legacy_h5_format.py). An optimizer's first variable counts its steps.
_KERAS_OPTIMIZER = re.compile(r"(optimizer|optimizer_weights)/.+")
_KERAS_COUNTER = re.compile(r"optimizer(/inner_optimizer)?/vars/0|optimizer_weights/(.*/)?iterations?(:0)?")
_KERAS_METRIC = re.compile(r"metrics/.+")

# What trainers of PyTorch save beside a state dict: the keys of examples/imagenet, timm, PyTorch Lightning and mmcv.
_TORCH_OPTIMIZER = re.compile(r"[^.]*optim[^.]*(\..+)?", re.IGNORECASE)
_TORCH_COUNTER = re.compile(r"(.+\.)?(epochs?|steps?|global_step|iter(ation)?s?)")


def base_name(name: str) -> str:
    """Return the name of the variable that ``name`` is a moving average of, or ``name`` itself."""
    return name.removesuffix(SHADOW_SUFFIX)


def has_variable(name: str, names: Collection[str]) -> bool:
    """Tell whether ``names`` has the variable ``name``, or at least its moving average."""
    return name in names or name + SHADOW_SUFFIX in names


def role_of(name: str, names: Collection[str]) -> str:
    """Return the role of ``name`` among all the checkpoint's ``names``.

    A slot counts only if its variable, or that variable's average, is there too: a layer that happens to be called
    Adam stays a variable. A range needs both of its ends.
    """
    if _is_range(base_name(name), names):
        return RANGE
    if name.endswith(SHADOW_SUFFIX):
        return SHADOW
    if _COUNTER.fullmatch(name):
        return COUNTER
    if _SLOT_SCALAR.fullmatch(name):
        return SLOT
    if _SETTING.fullmatch(name):
        return SETTING
    if _ANCHOR.fullmatch(name):
        return ANCHOR
    if _LIMIT.fullmatch(name):
        return LIMIT
    slot, debias = _SLOT.fullmatch(name), _DEBIAS.fullmatch(name)
    if slot and has_variable(slot["variable"], names):
        return SLOT
    if debias:
        parts = debias["scoped"].split("/")
        if any("/".join(parts[at:]) in names for at in range(len(parts))):
            return DEBIAS
    return VARIABLE


def role_in_keras(place: str) -> str | None:
    """Return the role of what Keras keeps at ``place`` in an HDF5 file beside the model's layers, None for a weight."""
    if _KERAS_COUNTER.fullmatch(place):
        return COUNTER
    if _KERAS_OPTIMIZER.fullmatch(place):
        return SLOT
    return METRIC if _KERAS_METRIC.fullmatch(place) else None


def role_in_trainer(key: str) -> str | None:
    """Return the role of what a trainer of PyTorch saves under ``key`` beside the state dict, None if it is unknown."""
    if _TORCH_OPTIMIZER.fullmatch(key):
        return SLOT
    return COUNTER if _TORCH_COUNTER.fullmatch(key) else None


def _is_range(name: str, names: Collection[str]) -> bool:
    found = _RANGE.fullmatch(name)
    if not found:
        return False
    parts = found["scoped"].split("/")[:-1]
    scopes = ("/".join(parts[: at + 1]) for at, part in enumerate(parts) if part.endswith("_quant"))
    return any(has_variable(f"{scope}/min", names) and has_variable(f"{scope}/max", names) for scope in scopes)


def roles(names: Collection[str]) -> dict[str, str]:
    """Return every name's role, in the order of ``names``."""
    known = frozenset(names)
    return {name: role_of(name, known) for name in names}


def counts(roles: Mapping[str, str], asides: Mapping[str, str]) -> dict[str, int]:
    """Return the number of entries of each role: first the roles of entries by number, then those of asides alone."""
    numbers = Counter(roles.values())
    others = Counter(asides.values())
    both = {role: count + others.pop(role, 0) for role, count in numbers.items()}
    return dict(sorted(both.items(), key=lambda item: -item[1])) | dict(others)
