"""Checkpoints as slim's trainer saves them, and other tensors to save."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers import tables
from porter.catalog.goldens import recorded
from porter.catalog.seeded_weights import seeded
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW_SUFFIX
from porter.mapping.table import Lone, Pair

Saver = Callable[..., Path]
SMALL = "mobilenet_v1_0.25_128"
OUTPUTS = [
    ("torch", "m.safetensors"),
    ("torch", "m.pth"),
    ("torch", "m/"),
    ("keras", "m.keras"),
    ("keras", "m.weights.h5"),
    ("keras", "m.h5"),
    ("keras", "m/"),
]
"""Every form of a port's output that porter's own networks read."""
OTHER_OUTPUTS = [("tf", "m.ckpt"), ("tf", "m.pb"), ("tensornets", "m.npz"), ("hf", "m/")]
"""The forms that others read."""


def seeded_variables(golden: str = "mobilenet_v1_0.25_128") -> dict[str, np.ndarray]:
    """Return the golden's variables, name-seeded."""
    found = recorded(golden)
    recipe = found.recipe
    return {name: seeded(name, shape, recipe["salt"], recipe["gain"]) for name, shape in found.variables.items()}


def training_checkpoint(golden: str = "mobilenet_v1_0.25_128") -> dict[str, np.ndarray]:
    """Return a checkpoint of slim's trainer: variables, a shadow and two RMSProp slots of each, global_step."""
    tensors: dict[str, np.ndarray] = {"global_step": np.asarray(41, np.int64)}
    for name, value in seeded_variables(golden).items():
        tensors[name] = value
        tensors[name + SHADOW_SUFFIX] = value * np.float32(1.01)
        tensors[f"{name}/RMSProp"] = np.ones_like(value)
        tensors[f"{name}/RMSProp_1"] = np.zeros_like(value)
    return tensors


def patterns(dtype: type, bits: type, *special: int) -> np.ndarray:
    """Return values of a dtype by their bits: the special ones, then noise."""
    noise = np.random.default_rng(3).integers(0, np.iinfo(bits).max, 24 - len(special), bits, endpoint=True)
    return np.concatenate([np.array(special, bits), noise]).view(dtype).reshape(2, -1)


def every_dtype(tf: Any) -> dict[str, Any]:
    """Return a tensor of each dtype, with NaNs quiet and signalling, their payloads, infinities and -0."""
    nan16 = (0x7E01, 0x7D01, 0xFE55, 0x8000, 0x7C00, 0x0001)
    nan32 = (0x7FC00001, 0x7F800001, 0xFFC12345, 0x80000000, 0xFF800000, 0x00000001)
    nan64 = (0x7FF8000000000001, 0x7FF0000000000001, 0xFFF8000000012345, 1 << 63, 0xFFF0000000000000, 1)
    bfloat16 = (0x7FC1, 0x7F81, 0xFFD5, 0x8000, 0xFF80, 0x0001)
    tensors = {
        "float16": patterns(np.float16, np.uint16, *nan16),
        "float32": patterns(np.float32, np.uint32, *nan32),
        "float64": patterns(np.float64, np.uint64, *nan64),
        "bfloat16": patterns(tf.bfloat16.as_numpy_dtype, np.uint16, *bfloat16),
        "complex64": patterns(np.complex64, np.uint32, *nan32),
        "complex128": patterns(np.complex128, np.uint64, *nan64),
        "bool": np.array([[True, False, True]]),
    }
    for size in (8, 16, 32, 64):
        unsigned = np.dtype(f"uint{size}").type
        tensors[f"int{size}"] = patterns(np.dtype(f"int{size}").type, unsigned, 1 << (size - 1), 2**size - 1)
        tensors[f"uint{size}"] = patterns(unsigned, unsigned, 1 << (size - 1), 2**size - 1)
    constants = {name: tf.constant(value) for name, value in tensors.items()}
    for name in ("int8", "uint8", "int16", "uint16", "int32"):
        constants[f"q{name}"] = tf.bitcast(constants[name], getattr(tf, f"q{name}"))
    return constants


def make_big_endian(prefix: Path, tensors: dict[str, np.ndarray], strings: dict[str, bytes] | None = None) -> Path:
    """Write a bundle like a big-endian machine: values and strings' lengths swapped, varints unchanged."""
    data, numbers = b"", {"float16": 19, "float32": 1, "float64": 2, "int64": 9, "complex64": 8, "bool": 10}
    pairs = [(b"", tables.header() + tables.number(2, 1))]
    for name, value in sorted(tensors.items()):
        raw = value.astype(value.dtype.newbyteorder(">")).tobytes()
        pairs.append(
            (name.encode(), tables.record(raw, value.shape, dtype=numbers[value.dtype.name], offset=len(data)))
        )
        data += raw
    for name, value in (strings or {}).items():
        length = struct.pack(">I", len(value))
        checked = struct.pack(">I", tables.masked_crc(length))
        raw = tables.varint(len(value)) + checked + value
        crc = struct.pack("<I", tables.masked_crc(length + checked + value))
        entry = tables.record(raw, (), dtype=7, offset=len(data))[:-4] + crc
        pairs.append((name.encode(), entry))
        data += raw
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    prefix.with_name(f"{prefix.name}.index").write_bytes(tables.table(sorted(pairs)))
    return prefix


def in_memory(tensors: Mapping[str, np.ndarray], name: str = "model.ckpt") -> Checkpoint:
    """Return ``tensors`` as a checkpoint that no file holds, for what reads names and shapes alone."""
    entries = {key: Entry(value.shape, value.dtype, partial(np.asarray, value)) for key, value in tensors.items()}
    return Checkpoint(Path(name), "memory", entries)


def with_fills(checkpoint: Checkpoint, tensors: Collection[Lone]) -> Checkpoint:
    """Return ``checkpoint`` with the value in ``tensors`` that another dialect, which lacks them, stands for."""
    fills = {lone.own.source: lone.fill for lone in tensors if lone.own.source in checkpoint.entries}
    filled = {
        name: checkpoint.entries[name]._replace(load=partial(np.full, checkpoint.entries[name].shape, fill, np.float32))
        for name, fill in fills.items()
    }
    return replace(checkpoint, entries={**checkpoint.entries, **filled})


def with_classes(checkpoint: Checkpoint, heads: Collection[Pair], classes: int) -> Checkpoint:
    """Return ``checkpoint`` with the last ``classes`` of its ``heads``, such as those after the background."""
    cut = {}
    for pair in heads:
        if pair.source in checkpoint.entries:
            axis, value = pair.source_axes.index("O"), checkpoint[pair.source]
            cut[pair.source] = value.take(range(value.shape[axis] - classes, value.shape[axis]), axis)
    return replace(checkpoint, entries={**checkpoint.entries, **in_memory(cut).entries})


def detector() -> dict[str, np.ndarray]:
    """Return an SSD's variables: MobileNet V1 0.25 without its head in FeatureExtractor/, extra layers and predictors.

    Their names are those of the Object Detection API (tensorflow/models, research/object_detection).
    """
    body = {f"FeatureExtractor/{name}": v for name, v in seeded_variables().items() if "/Logits/" not in name}
    extra = "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_1_Conv2d_2_1x1_64"
    leaves = {f"{extra}/BatchNorm/{leaf}": (64,) for leaf in ("beta", "gamma", "moving_mean", "moving_variance")}
    shapes = {f"{extra}/weights": (1, 1, 256, 64), **leaves}
    for at in range(2):
        for what, channels in (("BoxEncodingPredictor", 12), ("ClassPredictor", 273)):
            shapes[f"BoxPredictor_{at}/{what}/weights"] = (1, 1, 256, channels)
            shapes[f"BoxPredictor_{at}/{what}/biases"] = (channels,)
    return {**body, **{name: np.ones(shape, np.float32) for name, shape in shapes.items()}}
