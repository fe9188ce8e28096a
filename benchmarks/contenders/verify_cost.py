"""Verifies a model with name-seeded weights against TensorFlow, and prints what the forward passes take of it.

    python verify_cost.py MODEL [CHECKPOINT]

Without a checkpoint the golden is the reference, which runs nothing.
"""

import functools
import json
import resource
import sys
import time

forward = 0.0


def timed(call):
    """Return ``call`` with its time added to ``forward``."""

    @functools.wraps(call)
    def run(*arguments):
        global forward
        start = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            forward += time.perf_counter() - start

    return run


import porter
from porter.runners.torch import TorchRunner

TorchRunner.__call__ = timed(TorchRunner.__call__)
model, *checkpoint = sys.argv[1:]
if checkpoint:
    from porter.runners.tensorflow import TFRunner

    TFRunner.__call__ = timed(TFRunner.__call__)
start = time.perf_counter()
result = porter.verify(model, *checkpoint)
whole = time.perf_counter() - start
assert result
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"whole": whole, "forward": forward, "peak": peak}))
