"""Layers that several Keras networks use: TensorFlow's SAME average pool on every backend, and scheduled drop path."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


def average_pool_same(x: keras.KerasTensor, stride: int, dtype: str, name: str) -> keras.KerasTensor:
    """Return the 3x3 averages of the (N, H, W, C) map ``x`` with SAME padding, which the averages do not count.

    The layers are Keras' own. With stride 2, SAME pads an even side only after its last value. There Keras 3.15
    repeats that value on its torch backend (keras/src/backend/torch/nn.py). So the pool averages the windows of
    stride 1, padded equally on both sides, and then every second window is selected, the second one first.
    """
    pool: dict[str, Any] = {"data_format": "channels_last", "dtype": dtype}
    crop = tuple((1, 0) if stride == 2 and size % 2 == 0 else (0, 0) for size in x.shape[1:3])
    if not any(map(any, crop)):
        return layers.AveragePooling2D(3, stride, "same", name=name, **pool)(x)
    x = layers.AveragePooling2D(3, 1, "same", name=f"{name}_all", **pool)(x)
    x = layers.Cropping2D(crop, name=f"{name}_crop", **pool)(x)
    return layers.AveragePooling2D(1, 2, "valid", name=name, **pool)(x)


@keras.saving.register_keras_serializable(package="porter")
class DropPath(layers.Layer):
    """Scheduled drop path: in training, zeroes the path for some images and scales it up for the others.

    ``keep_prob`` is the probability that an image keeps its path at the end of training. The probability falls
    linearly from 1 with the weight ``progress``, the finished share of training (0 until ``DropPathSchedule`` sets it).
    """

    def __init__(self, keep_prob: float, **options: Any) -> None:
        super().__init__(**options)
        self.keep_prob = keep_prob
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.progress = self.add_weight(
            shape=(), initializer="zeros", dtype="float32", trainable=False, autocast=False, name="progress"
        )

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        keep = 1 - self.progress * (1 - self.keep_prob)
        draw = keras.random.uniform((ops.shape(x)[0], 1, 1, 1), dtype="float32", seed=self.seed_generator)
        return x * ops.cast(ops.cast(draw < keep, "float32") / keep, x.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keep_prob": self.keep_prob}


class DropPathSchedule(keras.callbacks.Callback):
    """Sets the finished share of ``total_training_steps`` in every ``DropPath`` of a model, before each step.

    It counts the optimizer's steps, so that training from a checkpoint continues the schedule.
    """

    def __init__(self, total_training_steps: int) -> None:
        super().__init__()
        self.total_training_steps = total_training_steps

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        set_progress(self.model, int(self.model.optimizer.iterations) / self.total_training_steps)


def set_progress(model: keras.Model, progress: float) -> None:
    """Set the finished share of training, at most 1, in every ``DropPath`` of ``model`` and of the models in it."""
    for layer in model.layers:
        if isinstance(layer, DropPath):
            layer.progress.assign(min(1.0, progress))
        elif isinstance(layer, keras.Model):
            set_progress(layer, progress)
