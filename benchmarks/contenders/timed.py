"""What the workers share: they answer each line on standard input with one JSON object on standard output."""

import json
import sys
import time

ENOUGH = 0.3
"""Seconds that a measured run takes at least: a small network runs several times, and the mean counts."""


def serve(run, **versions: str) -> None:
    """Answer the first line with ``versions``, each further one with the seconds of one ``run()``."""
    for _ in range(2):
        run()
    start = time.perf_counter()
    run()
    count = max(1, round(ENOUGH / (time.perf_counter() - start)))
    first = True
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(0 if first else count):
            run()
        print(json.dumps(versions if first else {"seconds": (time.perf_counter() - start) / count}), flush=True)
        first = False
