"""preprocessing_drift: what TensorFlow's and PyTorch users' own decode, crop and resize would change.

For parity both sides get the same array. This says how far the arrays are apart that each side would have made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.mapping.table import Table
from porter.parity.result import OwnInput
from porter.runners.pictures import VGG_MEAN, VGG_SIDE, as_rgb, open_picture
from porter.runners.runner import Runner
from porter.runners.settings import before_tensorflow

PICTURES = 16
"""No more of the pictures are prepared a second and third time."""

Preparer = Callable[[Path, str, int], np.ndarray]


def preprocessing_drift(
    arch: Arch, paths: Sequence[Path], pictures: np.ndarray, reference: Runner, table: Table
) -> tuple[OwnInput, ...]:
    """Compare ``pictures``, as porter prepared the files at ``paths``, with each side's own preparation of them.

    ``reference`` runs both, so that the line also says what the difference does to the logits.
    """
    if arch.preprocessing not in ("inception", "vgg"):
        return ()
    paths, pictures = paths[:PICTURES], pictures[:PICTURES]
    sides: list[tuple[str, str, Preparer]] = []
    if find_spec("tensorflow") is not None:
        sides.append(("TensorFlow", "decode, crop and resize", with_tensorflow))
    sides.append(("PyTorch", "resize and crop, by Pillow and antialiased as torchvision's", with_pillow))
    return tuple(_own(side, how, preparer, arch, paths, pictures, reference, table) for side, how, preparer in sides)


def _own(
    side: str,
    how: str,
    preparer: Preparer,
    arch: Arch,
    paths: Sequence[Path],
    pictures: np.ndarray,
    reference: Runner,
    table: Table,
) -> OwnInput:
    prepared, failed = {}, []
    for number, path in enumerate(paths):
        try:
            prepared[number] = preparer(path, arch.preprocessing, pictures.shape[1])
        except PorterError as error:
            failed.append(str(error))
    more = f", nor {len(failed) - 1} more" if len(failed) > 1 else ""
    why = failed[0] + more if failed else None
    if not prepared:
        return OwnInput(side, how, failed=why)
    made, pictures = np.stack(list(prepared.values())).astype(np.float32), pictures[list(prepared)]
    difference = np.abs(made - pictures)
    own = OwnInput(side, how, len(made), float(difference.max()), float(difference.mean()), failed=why)
    if not own.largest:
        return own
    logits, top1 = _moved(pictures, made, reference, table)
    return replace(own, logits=logits, top1=top1)


def _moved(pictures: np.ndarray, made: np.ndarray, reference: Runner, table: Table) -> tuple[float | None, int | None]:
    """Return how far the reference's logits move, in their deviation, and how many first classes change."""
    sides = []
    for batch in (pictures, made):
        # One by one, because the whole activations of all of them would be in memory together.
        runs = [reference(picture[None].astype(np.float32)).get(table.logits) for picture in batch]
        sides.append([logits for logits in runs if logits is not None])
    if min(map(len, sides)) < len(pictures):
        return None, None
    want, got = map(np.concatenate, sides)
    deviation = float(want.std())
    top1 = int((want.argmax(-1) != got.argmax(-1)).sum())
    return float(np.abs(got - want).max() / deviation) if deviation else None, top1


def with_tensorflow(path: Path, preprocessing: str, size: int) -> np.ndarray:
    """Prepare a picture with TensorFlow's ops alone, as slim's preprocess_for_eval does. Raises PorterError.

    TensorFlow does not turn a picture as its EXIF orientation says. Sources: inception_preprocessing.py and
    vgg_preprocessing.py in slim/preprocessing.
    """
    before_tensorflow()
    import tensorflow as tf

    with tf.device("cpu"):
        try:
            image = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
        except (tf.errors.OpError, ValueError) as error:
            # Before its message TensorFlow says where in itself it was.
            why = re.sub(r"^\{\{.*?\}\} ", "", str(error).splitlines()[0])
            raise PorterError(f"it does not decode {path.name} ({why.partition('.')[0][:60]})") from None
        if preprocessing == "inception":
            image = tf.image.central_crop(tf.image.convert_image_dtype(image, tf.float32), 0.875)
            image = tf.raw_ops.ResizeBilinear(images=image[None], size=(size, size))[0]
            return np.asarray((image - 0.5) * 2.0)
        height, width = (float(side) for side in image.shape[:2])
        scale = max(VGG_SIDE, size) / min(height, width)
        sides = [int(np.rint(np.float32(side * np.float32(scale)))) for side in (height, width)]
        image = tf.raw_ops.ResizeBilinear(images=tf.cast(image, tf.float32)[None], size=sides)[0]
        top, left = ((side - size) // 2 for side in sides)
        return np.asarray(image[top : top + size, left : left + size] - tf.constant(VGG_MEAN))


def with_pillow(path: Path, preprocessing: str, size: int) -> np.ndarray:
    """Prepare a picture as torchvision's transforms do: the shorter side resized with antialiasing, then the centre.

    The shorter side becomes size / 0.875, or 256 for vgg (torchvision.transforms.Resize and CenterCrop).
    """
    from PIL import Image

    image = Image.fromarray(as_rgb(open_picture(path)))
    shorter = round(size / 0.875) if preprocessing == "inception" else max(VGG_SIDE, size)
    scale = shorter / min(image.size)
    width, height = (max(shorter, int(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32)
    return (
        pixels / np.float32(127.5) - np.float32(1)
        if preprocessing == "inception"
        else pixels - np.array(VGG_MEAN, np.float32)
    )
