"""Seeded tensors, drawn once for several goldens of one model: drawing those of a VGG takes 4 to 7 seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

KEPT_BYTES = 400_000_000
"""What a worker keeps, the tensors of its last model first."""

Draw = Callable[[str, Sequence[int], int, float], np.ndarray]


class Drawn:
    """``draw`` with a memory. Each call returns an array of its own."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.kept: dict[tuple[str, tuple[int, ...], int, float], np.ndarray] = {}
        self.bytes = 0

    def __call__(self, name: str, shape: Sequence[int], salt: int = 0, gain: float = 1.0) -> np.ndarray:
        key = name, tuple(shape), salt, gain
        if key not in self.kept:
            values = self.draw(name, shape, salt, gain)
            if values.nbytes > KEPT_BYTES:
                return values
            self.kept[key] = values
            self.bytes += values.nbytes
        else:
            self.kept[key] = self.kept.pop(key)  # the last one is the latest
        while self.bytes > KEPT_BYTES:
            self.bytes -= self.kept.pop(next(iter(self.kept))).nbytes
        return self.kept[key].copy()
