"""Pictures: reading them, and the preprocessing that each network was trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError, PorterError
from porter.files import package_data
from porter.files.installed import require_package


def sample_paths() -> list[Path]:
    """Return the three sample pictures (331x331; golden/images/README.md names their source)."""
    return [package_data.folder("golden") / "images" / f"{name}.png" for name in ("chelsea", "coffee", "astronaut")]


def read_picture(path: Path) -> np.ndarray:
    """Return a picture as uint8 RGB in HWC order, turned as its EXIF orientation says."""
    return as_rgb(open_picture(path))


def open_picture(path: Path) -> Any:
    """Return a picture of any mode as Pillow reads it, turned as its EXIF orientation says. Raises PorterError."""
    require_package("PIL", "torch", "reading images")
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode == "F":
                raise ValueError("it holds floats, whose white nobody knows")
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise PorterError(f"{path} does not exist: name a picture file") from None
    except IsADirectoryError:
        raise PorterError(f"{path} is a folder: name picture files, as in {path}/*.jpg") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path} is not a picture that Pillow can read ({error}): name a PNG or JPEG") from None


def as_rgb(image: Any) -> np.ndarray:
    """Return a Pillow picture as uint8 RGB in HWC order; 16 bits keep their upper 8, alpha is left out.

    So do TensorFlow's decoders with three channels. Pillow's own conversion would cut 16 bits off at 255.
    """
    if image.mode.startswith("I"):
        deep = np.clip(np.asarray(image, np.int64), 0, 65535)
        grey = (deep >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


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


VGG_SIDE = 256  # _RESIZE_SIDE_MIN
VGG_MEAN = (123.68, 116.78, 103.94)  # _R_MEAN, _G_MEAN, _B_MEAN


def vgg(picture: np.ndarray, size: int) -> np.ndarray:
    """Resize the shorter side to 256 (or ``size`` where that is more), crop the centre, subtract ImageNet's means.

    Source: preprocess_for_eval in slim/preprocessing/vgg_preprocessing.py.
    """
    scale = np.float32(max(VGG_SIDE, size) / min(picture.shape[:2]))
    height, width = (int(np.rint(np.float32(side) * scale)) for side in picture.shape[:2])
    image = resize_bilinear(picture.astype(np.float32), height, width)
    top, left = (height - size) // 2, (width - size) // 2
    cropped: np.ndarray = image[top : top + size, left : left + size] - np.array(VGG_MEAN, np.float32)
    return cropped


def identity(picture: np.ndarray, size: int) -> np.ndarray:
    """Return the pixels as they are, 0 to 255, at the picture's own size."""
    return picture.astype(np.float32)


PREPROCESSING: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "inception": inception,
    "cifar": cifar,
    "vgg": vgg,
    "identity": identity,
}


def prepare(paths: Iterable[Path], preprocessing: str, size: int) -> np.ndarray:
    """Return the pictures as one float32 NHWC batch of side ``size``, ready for a network.

    Raises PorterError where pictures that are taken as they are differ in size.
    """
    preset = PREPROCESSING[preprocessing]
    prepared = [(path, preset(read_picture(path), size)) for path in paths]
    shapes = {image.shape: path for path, image in prepared}
    if len(shapes) > 1:
        (one, first), (other, second) = list(shapes.items())[:2]
        raise PorterError(
            f"{first.name} is {one[0]}x{one[1]}, {second.name} {other[0]}x{other[1]}: "
            f"{preprocessing} preprocessing leaves sizes as they are, so give pictures of one size"
        )
    return np.stack([image for _, image in prepared]).astype(np.float32)


def top_labels(probabilities: np.ndarray, names: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
    """Return the ``count`` likeliest classes of one picture as (label, probability), likeliest first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[i] if len(names) == len(probabilities) else f"class {i}", float(probabilities[i])) for i in order]
