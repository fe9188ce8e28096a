"""GraphPreprocessing: TensorFlow runs what a graph does to images before its network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES
from porter.graph.rewrite.own_steps import OwnSteps
from porter.graph.shapes import Shape


class GraphPreprocessing:
    """A graph's own preprocessing, which images of a verification never pass.

    ``refused`` says why it is not run, None where it is. ``encoded`` tells whether it takes the bytes of a file; if
    not, it takes RGB pixels of the shape ``pixels``, height and width, None for an open side. ``floats`` tells whether
    these are floats, whose range nothing states. ``behind`` names the op of a queue whose images it takes.
    """

    def __init__(self, steps: OwnSteps, path: Path) -> None:
        self.steps = steps
        self.path = path
        self.behind = steps.behind
        self.encoded = steps.encoded
        kind = TYPES.get(steps.dtype)
        self.dtype = kind.loaded if kind else np.dtype(np.float32)
        self.floats = self.dtype.kind == "f"
        self.refused = steps.refused or self._unfit(steps.shape)

    def _unfit(self, shape: Shape) -> str | None:
        """Say why no image fits the input, None where one does."""
        if self.encoded:
            return None if not shape or shape == (1,) else f"its input has the shape {shape}"
        if self.steps.dtype not in TYPES or (shape is not None and len(shape) not in (3, 4)):
            return f"its input {self.steps.input} is no image"
        # A channel axis of another size than 3 is not RGB.
        return None if shape is None or 3 in (shape[-1], shape[-3]) or shape[-1] is None else "its input is not RGB"

    @property
    def channels_first(self) -> bool:
        """Whether the input is CHW."""
        shape = self.steps.shape
        return shape is not None and shape[-1] != 3 and shape[-3] == 3

    @property
    def pixels(self) -> tuple[int | None, int | None]:
        shape = self.steps.shape
        if shape is None:
            return None, None
        height, width = shape[-2:] if self.channels_first else shape[-3:-1]
        return height, width

    def __call__(self, image: np.ndarray | bytes) -> np.ndarray:
        """Return what the network gets of one RGB ``image``, HWC or the bytes of a file, as HWC.

        Raises FormatError where TensorFlow cannot run the steps on it.
        """
        from porter.runners.tensorflow import run_steps

        fed = self._encoded(image) if isinstance(image, bytes) else self._batch(image)
        output = run_steps(self.steps.graph, f"{self.steps.input}:0", self.steps.output, fed, self.path)
        if output.ndim not in (3, 4):
            raise FormatError(f"{self.path}: its own preprocessing makes no images, but the shape {output.shape}")
        found = output[0] if output.ndim == 4 else output
        return np.asarray(found.transpose(1, 2, 0) if self.steps.channels_first else found)

    def _encoded(self, image: bytes) -> Any:
        return np.asarray(image, object) if not self.steps.shape else np.asarray([image], object)

    def _batch(self, image: np.ndarray) -> np.ndarray:
        shape = self.steps.shape
        values = image.transpose(2, 0, 1) if self.channels_first else image
        if shape is None or len(shape) == 4:
            count = (shape[0] if shape else None) or 1
            values = np.repeat(values[None], count, axis=0)
        return values.astype(self.dtype)
