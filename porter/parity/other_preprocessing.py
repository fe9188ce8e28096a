"""preprocessing_drift: what TensorFlow's and PyTorch users' own decode, crop and resize would change.

Parity feeds one array to both sides. This compares that array with the ones that each side would have made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from porter.errors import PorterError
from porter.files.progress import Track, untracked
from porter.mapping.shapes import IMAGE_CHANNELS
from porter.parity.result import OwnInput
from porter.runners.images import PreparedImages, as_rgb, open_image
from porter.runners.presets import PRESETS
from porter.runners.runner import Runner
from porter.runners.tensorflow_settings import before_tensorflow

IMAGES = 16
"""Only the first images are prepared a second and a third time."""

Preparer = Callable[[Path, str, int], np.ndarray]


def preprocessing_drift(
    images: PreparedImages, reference: Runner, logits: str, track: Track[int] = untracked, labels: bool = True
) -> tuple[OwnInput, ...]:
    """Compare the first of ``images`` with each side's own preparation of the same files.

    ``reference`` runs both, one image at a time, and the result says how far its endpoint ``logits`` moves, and, with
    ``labels``, for how many images the largest changes.
    """
    sides = []
    if images.preset.tensorflow is not None and find_spec("tensorflow") is not None:
        sides.append(_Drift("TensorFlow", "decode, crop and resize", with_tensorflow, labels))
    if images.preset.torch is not None:
        how = "resize and crop, with Pillow and antialiased as in torchvision"
        sides.append(_Drift("PyTorch", how, with_pillow, labels))
    if not sides or images.channels != IMAGE_CHANNELS:
        return ()
    for number in track(range(min(len(images), IMAGES)), "preprocessing"):
        path, image = images.paths[number], images[[number]][0]
        want = reference(image[None]).get(logits)
        for side in sides:
            side.add(path, images, image, want, reference, logits)
    return tuple(side.result() for side in sides)


@dataclass
class _Drift:
    """One side's preparation: sums of differences over the images, and both logits of each image."""

    side: str
    how: str
    preparer: Preparer
    labels: bool
    count: int = 0
    largest: float = 0.0
    sum: float = 0.0
    values: int = 0
    failed: list[str] = field(default_factory=list)
    logits: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(
        self,
        path: Path,
        images: PreparedImages,
        image: np.ndarray,
        want: np.ndarray | None,
        reference: Runner,
        logits: str,
    ) -> None:
        """Prepare the file at ``path``. ``image`` is porter's input of it, ``want`` the reference's logits."""
        try:
            made = self.preparer(path, images.preprocessing, images.size).astype(np.float32)
        except PorterError as error:
            self.failed.append(str(error))
            return
        difference = np.abs(made - image)
        self.count += 1
        self.largest = max(self.largest, float(difference.max()))
        self.sum += float(difference.sum(dtype=np.float64))
        self.values += difference.size
        if want is not None:
            got = reference(made[None]).get(logits) if difference.any() else want
            if got is not None:
                self.logits.append((want, got))

    def result(self) -> OwnInput:
        more = f", nor {len(self.failed) - 1} more" if len(self.failed) > 1 else ""
        why = self.failed[0] + more if self.failed else None
        if not self.count:
            return OwnInput(self.side, self.how, failed=why)
        moved, top1 = self._moved() if self.largest else (None, None)
        return OwnInput(
            self.side, self.how, self.count, self.largest, self.sum / self.values, logits=moved, top1=top1, failed=why
        )

    def _moved(self) -> tuple[float | None, int | None]:
        """Return how far the logits move, in their standard deviation, and how many top classes change."""
        if len(self.logits) < self.count:
            return None, None
        want, got = (np.concatenate(side) for side in zip(*self.logits, strict=True))
        deviation = float(want.std())
        top1 = int((want.argmax(-1) != got.argmax(-1)).sum()) if self.labels else None
        return float(np.abs(got - want).max() / deviation) if deviation else None, top1


def with_tensorflow(path: Path, preprocessing: str, size: int) -> np.ndarray:
    """Prepare an image with TensorFlow's ops alone, as slim's preprocess_for_eval does.

    TensorFlow ignores the EXIF orientation. Raises PorterError where it cannot decode the file.
    """
    recipe = PRESETS[preprocessing].tensorflow
    assert recipe is not None
    before_tensorflow()
    import tensorflow as tf

    with tf.device("cpu"):
        try:
            image = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
        except (tf.errors.OpError, ValueError) as error:
            # TensorFlow's message begins with a place in its own code.
            why = re.sub(r"^\{\{.*?\}\} ", "", str(error).splitlines()[0])
            raise PorterError(f"it does not decode {path.name} ({why.partition('.')[0][:60]})") from None
        return np.asarray(recipe(tf, image, size))


def with_pillow(path: Path, preprocessing: str, size: int) -> np.ndarray:
    """Prepare an image as torchvision's transforms do: resize the shorter side with antialiasing, crop the centre.

    Sources: torchvision.transforms.Resize and CenterCrop.
    """
    from PIL import Image

    recipe = PRESETS[preprocessing].torch
    assert recipe is not None
    image = Image.fromarray(as_rgb(open_image(path)))
    shorter = recipe.shorter_side(size)
    scale = shorter / min(image.size)
    width, height = (max(shorter, int(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return recipe.scale(np.asarray(image.crop((left, top, left + size, top + size)), np.float32))
