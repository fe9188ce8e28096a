"""ImageResults: keeps the labels of every image, and the logits of the first ones, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from porter.mapping.head import Head, has_background
from porter.parity.compare_runs import Subject
from porter.parity.result import ImageResult, Labels
from porter.runners.images import top_labels
from porter.runners.softmax import softmax

LOGITS_KEPT = 100
"""Images whose logits are kept for the report's plot: 0.4 MB a side for 1001 classes. Memory stays flat after them."""


class ImageResults:
    """Collects what a result keeps of each image. Call it with each batch's logits, the reference's key is ``""``.

    ``paths`` are the images' files. Without them, or with another head than the original's, no labels are collected.
    """

    def __init__(self, subject: Subject, paths: Sequence[Path] | None) -> None:
        self.subject = subject
        self.paths = paths if subject.head.is_original else None
        self.images: list[ImageResult] = []
        self._names: dict[int, list[str]] = {}
        self._seen = 0
        self._kept: dict[str, list[np.ndarray]] = {}

    def __call__(self, logits: Mapping[str, np.ndarray]) -> None:
        if "" not in logits:
            return
        room = max(0, LOGITS_KEPT - self._seen)
        if room:
            for name, values in logits.items():
                self._kept.setdefault(name, []).append(values[:room])
        labels = self.subject.head.labels
        # One side may have dropped a background class: the labels are those of either.
        fitting = {values.shape[-1] for values in logits.values()}
        if self.paths is not None and labels is not None and len(labels.names) not in fitting:
            labels.check(logits[""].shape[-1])
        want, got = logits[""], {name: values for name, values in logits.items() if name}
        if self.paths is not None:
            for number, path in enumerate(self.paths[self._seen : self._seen + len(want)]):
                self.images.append(self._result(path, want[number], {name: v[number] for name, v in got.items()}))
        self._seen += len(want)

    @property
    def logits(self) -> dict[str, np.ndarray]:
        """Both sides' logits of the first images, (images, classes)."""
        return {name: np.concatenate(parts) for name, parts in self._kept.items()}

    def _result(self, path: Path, want: np.ndarray, got: Mapping[str, np.ndarray]) -> ImageResult:
        return ImageResult(
            path.name,
            self._labels(want),
            {name: self._labels(logits) for name, logits in got.items()},
            {name: _farthest(want, logits) for name, logits in got.items()},
            path,
        )

    def _labels(self, logits: np.ndarray) -> Labels:
        return top_labels(softmax(logits), self._class_names(len(logits)))

    def _class_names(self, count: int) -> list[str]:
        if count not in self._names:
            arch, head = self.subject.arch, self.subject.head
            # One side alone may have dropped the background class; its number of logits tells.
            if head.labels is not None:
                self._names[count] = ["background", *head.labels.names][-count:]
                return self._names[count]
            if count == arch.num_classes - 1 and has_background(arch):
                head = Head(drop_background=True)
            self._names[count] = head.class_names(arch, count)
        return self._names[count]


def _farthest(want: np.ndarray, got: np.ndarray) -> float:
    """Return the largest difference of two images' logits, without a background class that one side alone has."""
    shared = min(len(want), len(got))
    return float(np.abs(got[-shared:] - want[-shared:]).max())
