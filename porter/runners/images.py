"""Images: read from files, and prepared batch by batch as a network's input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from porter.errors import FormatError, PorterError
from porter.files import package_data
from porter.files.installed import require_package
from porter.mapping.shapes import IMAGE_CHANNELS
from porter.runners.presets import PRESETS

GRAY = (0.2989, 0.587, 0.114)
"""The weights of red, green and blue in TensorFlow's rgb_to_grayscale."""


def sample_paths() -> list[Path]:
    """Return the three sample images (331x331; golden/images/README.md names their source)."""
    return [package_data.folder("golden") / "images" / f"{name}.png" for name in ("chelsea", "coffee", "astronaut")]


def read_image(path: Path) -> np.ndarray:
    """Return an image as uint8 RGB in HWC order, turned as its EXIF orientation says."""
    return as_rgb(open_image(path))


def open_image(path: Path) -> Any:
    """Decode an image of any mode with Pillow, and turn it as its EXIF orientation says. Raises PorterError."""
    with _opened(path) as image:
        from PIL import ImageOps

        return ImageOps.exif_transpose(image)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an image file, whose pixels Pillow decodes later; Pillow's errors become PorterErrors."""
    require_package("PIL", "torch", f"reading {path}")
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode == "F":
                raise ValueError("its pixels are floats of an unknown range")
            yield image
    except FileNotFoundError:
        raise PorterError(f"{path} does not exist: name an image file") from None
    except IsADirectoryError:
        raise PorterError(f"{path} is a folder: name image files, as in {path}/*.jpg") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path} is not an image that Pillow can read ({error}): name a PNG or JPEG") from None


def as_rgb(image: Any) -> np.ndarray:
    """Return a Pillow image as uint8 RGB in HWC order, without alpha; 16 bits keep their upper 8.

    TensorFlow's decoders do the same for three channels. Pillow's own conversion would clip 16 bits at 255.
    """
    if image.mode.startswith("I"):
        deep = np.clip(np.asarray(image, np.int64), 0, 65535)
        grey = (deep >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


class PreparedImages:
    """The images at ``paths`` as a network's input, decoded only when a batch is asked for.

    Index it with a slice or a list of numbers to get float32 NHWC of side ``size``; nothing else stays in memory.
    ``with_channels`` says what ``channels`` hold, if they are not RGB.
    The constructor reads each file's header, so that a missing or foreign file is found before the first batch.
    Raises PorterError for such a file, and where images that keep their size differ in it.
    """

    def __init__(self, paths: Iterable[Path], preprocessing: str, size: int, channels: int = IMAGE_CHANNELS) -> None:
        self.paths = list(paths)
        self.channels = channels
        self.preprocessing = preprocessing
        if preprocessing not in PRESETS:
            raise PorterError(f"unknown `preprocessing` {preprocessing!r}: choose from {', '.join(PRESETS)}")
        self.preset = PRESETS[preprocessing]
        self.size = size
        self.sides = (size, size)
        if self.preset.own_size:
            self.sides = _common_size(self.paths, preprocessing)
            return
        for path in self.paths:
            with _opened(path):
                pass

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, chosen: slice | Sequence[int]) -> np.ndarray:
        paths = self.paths[chosen] if isinstance(chosen, slice) else [self.paths[number] for number in chosen]
        return np.stack([self._prepared(read_image(path)) for path in paths]).astype(np.float32)

    def _prepared(self, image: np.ndarray) -> np.ndarray:
        return with_channels(lambda pixels: self.preset.prepare(pixels, self.size), image, self.channels)


Images: TypeAlias = np.ndarray | PreparedImages
"""Float32 NHWC images, in memory or prepared batch by batch."""


def with_channels(prepare: Callable[[np.ndarray], np.ndarray], image: np.ndarray, channels: int) -> np.ndarray:
    """Return what ``prepare`` makes of the RGB ``image`` (HWC), with this number of channels.

    One channel is TensorFlow's rgb_to_grayscale, as slim's ``use_grayscale`` has it
    (tensorflow/python/ops/image_ops_impl.py). Two are red and green. Behind the first three come those of the image
    mirrored, so that a network reads no channel twice; the thirteenth is the first one again.
    """
    if channels == IMAGE_CHANNELS:
        return prepare(image)
    if channels == 1:
        gray = image.astype(np.float32) @ np.array(GRAY, np.float32)
        return prepare(np.repeat(gray[..., None], IMAGE_CHANNELS, axis=2))[..., :1]
    mirrored = [prepare(image[::down, ::across]) for down in (1, -1) for across in (1, -1)]
    return np.take(np.concatenate(mirrored, axis=2), range(channels), axis=2, mode="wrap")


def _common_size(paths: Sequence[Path], preprocessing: str) -> tuple[int, int]:
    """Return the height and width of all images. Raises PorterError where two differ."""
    first: tuple[Path, tuple[int, int]] | None = None
    for path in paths:
        width, height = open_image(path).size
        first = first or (path, (height, width))
        if first[1] != (height, width):
            one, other = ("x".join(map(str, sides)) for sides in (first[1], (height, width)))
            raise PorterError(
                f"{first[0].name} is {one}, {path.name} {other}: {preprocessing} preprocessing keeps each image's "
                "size, so give images of one size"
            )
    return first[1] if first else (0, 0)


def prepare(paths: Iterable[Path], preprocessing: str, size: int) -> np.ndarray:
    """Return all images at once as float32 NHWC of side ``size``; see PreparedImages."""
    return PreparedImages(paths, preprocessing, size)[:]


def top_labels(probabilities: np.ndarray, names: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
    """Return the ``count`` likeliest classes of one image as (label, probability), likeliest first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[i] if len(names) == len(probabilities) else f"class {i}", float(probabilities[i])) for i in order]
