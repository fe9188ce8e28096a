"""A golden as a runner: what the original code computed for the sample pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from porter.catalog.goldens import Recorded
from porter.catalog.seeded_weights import network_input, probe_indices
from porter.errors import PorterError
from porter.mapping.table import Table
from porter.runners.pictures import read_picture, sample_paths
from porter.runners.runner import PRECISIONS


def golden_pictures(size: int) -> np.ndarray:
    """Return the float32 NHWC pictures on which goldens of this input size are recorded."""
    squares = [network_input(read_picture(path), size) for path in sample_paths()]
    return np.stack(squares).astype(np.float32)


class GoldenRunner:
    """Returns the recorded values: all logits, and the probes of every other endpoint."""

    precisions = PRECISIONS

    def __init__(self, golden: Recorded, table: Table) -> None:
        self.golden = golden
        self.table = table
        self.values = golden.values()

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        chosen = self._which(pictures)
        precision = pictures.dtype.name
        prefix = {"float64": "endpoint:", "float32": "endpoint_float32:"}[precision]
        outputs = {name: self.values[prefix + name][chosen] for name in self.golden.endpoint_shapes}
        outputs[self.table.logits] = self.values[f"logits_{precision}"][chosen]
        return outputs

    def _which(self, pictures: np.ndarray) -> list[int]:
        """Return the sample pictures' numbers of ``pictures``, any of them in any order."""
        samples = golden_pictures(self.golden.input_size)
        found = [
            next((number for number, sample in enumerate(samples) if np.array_equal(picture, sample)), None)
            for picture in pictures.astype(np.float32)
        ]
        if None in found:
            raise PorterError(f"{self.golden.path} holds the sample pictures' values only: run it on those")
        return [number for number in found if number is not None]

    def indices(self, name: str, count: int) -> np.ndarray:
        """Return the flat places, in an activation of ``count`` values, of the values that a golden keeps of it."""
        return np.arange(count) if name == self.table.logits else probe_indices(name, count)

    def probe(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return of another runner's outputs the values that a golden keeps.

        Raises PorterError where an activation has another size than the original's.
        """
        probed = {}
        for name, values in outputs.items():
            flat = np.asarray(values).reshape(len(values), -1)
            want = int(np.prod(self.golden.endpoint_shapes.get(name, flat.shape[1:])))
            if flat.shape[1] != want:
                raise PorterError(
                    f"{name} has {flat.shape[1]} values a picture, the original {want}: the network differs"
                )
            probed[name] = flat[:, self.indices(name, want)]
        return probed
