"""What the networks in PyTorch share: what making one costs, and how far its output is from TensorFlow's."""

import json
import resource
import time
from pathlib import Path

import numpy as np
import torch


def report(make, lines, folder: Path) -> None:
    """Print what ``make()`` costs, the ``lines()`` of source that it writes, and the error of the network's output.

    Some converters turn the axes of the image: the network gets image.npy of ``folder`` with its channels last and
    first, and the smaller error counts. It is the largest distance of the last output from double.npy, in its standard
    deviation.
    """
    network = make()
    found = {"cpu": time.process_time(), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    found["lines"] = lines()
    image, want = np.load(folder / "image.npy"), np.load(folder / "double.npy")
    errors = []
    for given in (image, np.ascontiguousarray(np.moveaxis(image, -1, 1))):
        try:
            with torch.inference_mode():
                got = network(torch.from_numpy(given))
            errors += _errors((got[-1] if isinstance(got, (tuple, list)) else got).numpy(), want)
        except Exception as error:
            found["failed"] = f"{type(error).__name__}: {error}"
    if errors:
        found["error"] = min(errors)
    print(json.dumps(found))


def _errors(got, want):
    """Return the error in each order of axes that fits."""
    orders = [got, np.moveaxis(got, 1, -1)] if got.ndim > 2 else [got]
    fitting = [each for each in orders if each.squeeze().shape == want.squeeze().shape]
    if not fitting:
        raise ValueError(f"its output is {got.shape}, TensorFlow's is {want.shape}")
    return [float(np.abs(each.reshape(want.shape) - want).max() / want.std()) for each in fitting]
