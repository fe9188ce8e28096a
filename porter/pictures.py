"""Pictures: reading them, and the preprocessing that each network was trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from porter import data
from porter.errors import FormatError, MissingPackageError, PorterError


def sample_paths() -> list[Path]:
    """Return the three sample pictures (331x331; golden/images/README.md names their source)."""
    return [data.folder("golden") / "images" / f"{name}.png" for name in ("chelsea", "coffee", "astronaut")]


def read_picture(path: Path) -> np.ndarray:
    """Return a picture as uint8 RGB in HWC order, turned as its EXIF orientation says."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise MissingPackageError("reading pictures needs Pillow: pip install 'porter[torch]'") from None
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise PorterError(f"{path} does not exist: name a picture file") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path} is not a picture that Pillow can read ({error}): name a PNG or JPEG") from None


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize float HWC as TensorFlow 1's ``resize_bilinear(align_corners=False)`` did.

    It samples at ``i * scale`` from the top left corner, without half-pixel centres and without
    antialiasing: that is what slim's networks saw (tensorflow/core/kernels/image/resize_bilinear_op.cc).
    """
    for axis, size in ((1, width), (0, height)):
        old = image.shape[axis]
        # The op's own arithmetic is float32, scale included.
        position = np.arange(size, dtype=np.float32) * np.float32(old / size)
        floor = np.floor(position)
        weight = (position - floor).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        low = np.minimum(floor.astype(int), old - 1)
        high = np.minimum(low + 1, old - 1)
        bottom, top = np.take(image, low, axis), np.take(image, high, axis)
        image = bottom + (top - bottom) * weight
    return image


def inception(picture: np.ndarray, size: int) -> np.ndarray:
    """Crop the central 87.5 %, resize bilinearly to ``size`` and scale to [-1, 1].

    Source: preprocess_for_eval in slim/preprocessing/inception_preprocessing.py.
    """
    image = picture.astype(np.float32) / np.float32(255)
    # tf.image.central_crop rounds the border, not the crop.
    top, left = (int((side - side * 0.875) / 2) for side in image.shape[:2])
    image = image[top : image.shape[0] - top, left : image.shape[1] - left]
    return (resize_bilinear(image, size, size) - np.float32(0.5)) * np.float32(2)


def cifar(picture: np.ndarray, size: int) -> np.ndarray:
    """Take the central ``size`` pixels, zeros around a smaller picture, to mean 0 and standard deviation 1.

    The deviation counts as no smaller than that of one grey level in one value of the picture.
    Source: preprocess_for_eval in slim/preprocessing/cifarnet_preprocessing.py, whose
    tf.image.per_image_standardization has that bound.
    """
    image = np.zeros((size, size, 3), np.float32)
    height, width = (min(side, size) for side in picture.shape[:2])
    crop = picture[_middle(picture.shape[0], height), _middle(picture.shape[1], width)]
    image[_middle(size, height), _middle(size, width)] = crop
    return np.asarray((image - image.mean()) / max(image.std(), np.float32(image.size**-0.5)))


def _middle(side: int, part: int) -> slice:
    start = (side - part) // 2
    return slice(start, start + part)


PREPROCESSING: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"inception": inception, "cifar": cifar}


def prepare(paths: Iterable[Path], preprocessing: str, size: int) -> np.ndarray:
    """Return the pictures as one float32 NHWC batch of side ``size``, ready for a network."""
    preset = PREPROCESSING[preprocessing]
    return np.stack([preset(read_picture(path), size) for path in paths]).astype(np.float32)


def top_labels(probabilities: np.ndarray, names: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
    """Return the ``count`` likeliest classes of one picture as (label, probability), likeliest first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[i] if len(names) == len(probabilities) else f"class {i}", float(probabilities[i])) for i in order]
