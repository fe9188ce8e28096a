"""verify fills the original's graph with TensorFlow's own reader, whatever form the checkpoint has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import Saver, seeded_variables
from porter import port, verify
from porter.errors import MappingError, PorterError
from porter.mapping.head import Head
from porter.mapping.relayout import relayout
from porter.mapping.table import Table

NAME = "mobilenet_v1_0.25_128"


def assert_verified(path: Path, form: str) -> None:
    result = port(NAME, checkpoint=path, verify=True)
    assert result
    assert result.checkpoint.format == form
    assert result.verification is not None
    assert "filled by its own reader" in result.verification.reference


def test_a_v1_checkpoint_of_slices(tf: Any, tmp_path: Path) -> None:
    """Kernels lie in two slices, and all is half: TensorFlow's restore op takes it, its CheckpointReader does not."""
    names, specs, data = [], [], []
    for name, value in seeded_variables().items():
        rows = value.shape[0]
        cuts = [(0, rows)] if value.ndim != 4 or rows < 2 else [(0, 1), (1, rows - 1)]
        for start, length in cuts:
            names.append(name)
            sides = " ".join(map(str, value.shape))
            specs.append(f"{sides} {start},{length}" + ":-" * (value.ndim - 1))
            data.append(value[start : start + length].astype(np.float16))
    path = tmp_path / "model.ckpt"
    tf.raw_ops.SaveSlices(filename=str(path), tensor_names=names, shapes_and_slices=specs, data=data)
    assert len(names) > 137
    assert_verified(path, "TensorFlow V1 checkpoint")


def test_an_object_based_checkpoint_and_a_saved_model(tf: Any, tmp_path: Path) -> None:
    module = tf.Module()
    module.variables_of_slim = [tf.Variable(value, name=name) for name, value in seeded_variables().items()]
    tf.train.Checkpoint(model=module).write(str(tmp_path / "model.ckpt"))
    tf.saved_model.save(module, str(tmp_path / "saved"))
    for path in (tmp_path / "model.ckpt", tmp_path / "saved"):
        assert_verified(path, "TensorFlow object-based checkpoint")


def test_an_object_based_checkpoint_of_keras_names(tf: Any, tmp_path: Path) -> None:
    """Keras 2 calls a depthwise kernel otherwise than Keras 3, and trained with optimizers of its own."""
    values = seeded_variables()
    module = tf.Module()
    module.weights_of_keras = [
        tf.Variable(
            relayout(values[pair.source], pair.source_axes, pair.target_axes),
            name=pair.target.replace("kernel", "depthwise_kernel") if pair.kind == "depthwise" else pair.target,
        )
        for pair in Table.load("mobilenet_v1").pairs("tf", "keras")
    ]
    tf.train.Checkpoint(model=module).write(str(tmp_path / "model.ckpt"))
    for head in (None, Head(drop_background=True)):
        result = port(NAME, "keras", "torch", checkpoint=tmp_path / "model.ckpt", verify=True, head=head)
        assert result


def test_a_big_endian_checkpoint(tf: Any, tmp_path: Path) -> None:
    from helpers.checkpoints import make_big_endian

    assert verify(NAME, checkpoint=make_big_endian(tmp_path / "big.ckpt", seeded_variables()))


def test_an_index_that_was_renamed_cannot_be_verified_as_it_is(tf: Any, save: Saver) -> None:
    prefix = save(seeded_variables())
    Path(f"{prefix}.index").rename(prefix)
    assert port(NAME, checkpoint=prefix)
    with pytest.raises(PorterError, match="is not a file that TensorFlow opens"):
        verify(NAME, checkpoint=prefix)


def test_a_needed_tensor_of_an_unread_dtype_is_named(tf: Any, save: Saver) -> None:
    tensors: dict[str, Any] = dict(seeded_variables())
    name = "MobilenetV1/Conv2d_0/weights"
    tensors[name] = tf.cast(tensors[name], tf.dtypes.experimental.float8_e5m2)
    with pytest.raises(
        MappingError, match=rf"lacks 1 of the 137 .*\n  {name}, which the file has as tensor of dtype float8"
    ):
        port(NAME, checkpoint=save(tensors))
