"""PRESETS: one record per preprocessing, with porter's steps, and those of TensorFlow's and PyTorch's users.

A preset turns a uint8 RGB image (HWC) and a side length into a float32 network input (HWC).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

VGG_SIDE = 256  # _RESIZE_SIDE_MIN in slim/preprocessing/vgg_preprocessing.py
VGG_MEAN = (123.68, 116.78, 103.94)  # _R_MEAN, _G_MEAN, _B_MEAN in the same file


@dataclass(frozen=True)
class TorchTransforms:
    """What PyTorch users do: resize the shorter side, crop the centre, scale the pixels.

    ``shorter_side`` gives the side after torchvision.transforms.Resize for the side of the crop. ``scale`` maps
    float32 pixels, 0 to 255, to the network's input.
    """

    shorter_side: Callable[[int], int]
    scale: Callable[[np.ndarray], np.ndarray]

    def normalisation(self, channels: int = 3) -> tuple[list[float], list[float]]:
        """Return the mean and the standard deviation that scale pixels of [0, 1] so, for the first ``channels``."""
        low, high = (self.scale(np.full((1, 1, 3), pixel, np.float32)).reshape(-1) for pixel in (0, 255))
        std = [1 / (float(most) - float(least)) for least, most in zip(low, high, strict=True)]
        return [-float(least) * each for least, each in zip(low, std, strict=True)][:channels], std[:channels]


@dataclass(frozen=True)
class Preset:
    """One preprocessing.

    ``prepare`` is porter's, ``(uint8 image, side) -> float32 input``. ``tensorflow`` does the same with TensorFlow's
    ops, ``(the tensorflow module, decoded uint8 image, side) -> float32 tensor``. ``torch`` are PyTorch users'
    transforms. Either is None where porter has nothing to compare with. With ``own_size`` images keep their size.
    ``pixels`` maps float32 pixels, 0 to 255, to the network's input, where ``torch`` does not say it.
    """

    prepare: Callable[[np.ndarray, int], np.ndarray]
    tensorflow: Callable[[Any, Any, int], Any] | None = None
    torch: TorchTransforms | None = None
    own_size: bool = False
    pixels: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def scale(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Map float32 pixels, 0 to 255, to the network's input; None where that depends on the whole image."""
        return self.torch.scale if self.torch is not None else self.pixels


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize float HWC as TensorFlow 1's ``resize_bilinear(align_corners=False)``.

    It samples at ``i * scale`` from the top left corner, without half-pixel centres or antialiasing. slim's networks
    were trained so (tensorflow/core/kernels/image/resize_bilinear_op.cc).
    """
    for axis, size in ((1, width), (0, height)):
        old = image.shape[axis]
        # The op computes in float32, the scale included.
        position = np.arange(size, dtype=np.float32) * np.float32(old / size)
        floor = np.floor(position)
        weight = (position - floor).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        low = np.minimum(floor.astype(int), old - 1)
        high = np.minimum(low + 1, old - 1)
        bottom, top = np.take(image, low, axis), np.take(image, high, axis)
        image = bottom + (top - bottom) * weight
    return image


def inception(image: np.ndarray, size: int) -> np.ndarray:
    """Crop the central 87.5 %, resize bilinearly to ``size`` and scale to [-1, 1].

    Source: preprocess_for_eval in slim/preprocessing/inception_preprocessing.py.
    """
    unit = image.astype(np.float32) / np.float32(255)
    # tf.image.central_crop rounds the border, not the crop.
    top, left = (int((side - side * 0.875) / 2) for side in unit.shape[:2])
    unit = unit[top : unit.shape[0] - top, left : unit.shape[1] - left]
    return (resize_bilinear(unit, size, size) - np.float32(0.5)) * np.float32(2)


def _inception_tensorflow(tf: Any, image: Any, size: int) -> Any:
    unit = tf.image.central_crop(tf.image.convert_image_dtype(image, tf.float32), 0.875)
    return (tf.raw_ops.ResizeBilinear(images=unit[None], size=(size, size))[0] - 0.5) * 2.0


def vgg(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the shorter side to 256 or more, crop the centre and subtract ImageNet's means.

    The shorter side becomes ``size`` where that is above 256.
    Source: preprocess_for_eval in slim/preprocessing/vgg_preprocessing.py.
    """
    scale = np.float32(max(VGG_SIDE, size) / min(image.shape[:2]))
    height, width = (int(np.rint(np.float32(side) * scale)) for side in image.shape[:2])
    resized = resize_bilinear(image.astype(np.float32), height, width)
    top, left = (height - size) // 2, (width - size) // 2
    cropped: np.ndarray = resized[top : top + size, left : left + size] - np.array(VGG_MEAN, np.float32)
    return cropped


def _vgg_tensorflow(tf: Any, image: Any, size: int) -> Any:
    height, width = (float(side) for side in image.shape[:2])
    scale = max(VGG_SIDE, size) / min(height, width)
    sides = [int(np.rint(np.float32(side * np.float32(scale)))) for side in (height, width)]
    resized = tf.raw_ops.ResizeBilinear(images=tf.cast(image, tf.float32)[None], size=sides)[0]
    top, left = ((side - size) // 2 for side in sides)
    return resized[top : top + size, left : left + size] - tf.constant(VGG_MEAN)


def cifar(image: np.ndarray, size: int) -> np.ndarray:
    """Take the central ``size`` pixels, padded with zeros, and scale to mean 0 and standard deviation 1.

    The standard deviation counts as at least that of one grey level in one value of the image.
    Source: preprocess_for_eval in slim/preprocessing/cifarnet_preprocessing.py; its
    tf.image.per_image_standardization has that bound.
    """
    padded = np.zeros((size, size, 3), np.float32)
    height, width = (min(side, size) for side in image.shape[:2])
    crop = image[_middle(image.shape[0], height), _middle(image.shape[1], width)]
    padded[_middle(size, height), _middle(size, width)] = crop
    return np.asarray((padded - padded.mean()) / max(padded.std(), np.float32(padded.size**-0.5)))


def _middle(side: int, part: int) -> slice:
    start = (side - part) // 2
    return slice(start, start + part)


def _to_unit(pixels: np.ndarray) -> np.ndarray:
    return np.float32(2 / 255) * pixels - np.float32(1)


def detection(image: np.ndarray, size: int) -> np.ndarray:
    """Scale to [-1, 1] and resize the whole image bilinearly to ``size``, without a crop and without its aspect ratio.

    Sources: ``preprocess`` of object_detection/models/ssd_mobilenet_v1_feature_extractor.py, and the
    fixed_shape_resizer, which is resize_image in object_detection/core/preprocessor.py.
    """
    return resize_bilinear(_to_unit(image.astype(np.float32)), size, size)


def _detection_tensorflow(tf: Any, image: Any, size: int) -> Any:
    unit = (2.0 / 255.0) * tf.cast(image, tf.float32) - 1.0
    return tf.raw_ops.ResizeBilinear(images=unit[None], size=(size, size))[0]


def identity(image: np.ndarray, size: int) -> np.ndarray:
    """Return the pixels unchanged, 0 to 255, at the image's own size."""
    return image.astype(np.float32)


PRESETS: dict[str, Preset] = {
    "inception": Preset(
        inception,
        _inception_tensorflow,
        TorchTransforms(lambda size: round(size / 0.875), lambda pixels: pixels / np.float32(127.5) - np.float32(1)),
    ),
    "cifar": Preset(cifar),
    "vgg": Preset(
        vgg,
        _vgg_tensorflow,
        TorchTransforms(lambda size: max(VGG_SIDE, size), lambda pixels: pixels - np.array(VGG_MEAN, np.float32)),
    ),
    "detection": Preset(detection, _detection_tensorflow, pixels=_to_unit),
    "identity": Preset(identity, own_size=True),
}
