"""What the workers share: they answer each line on standard input with one JSON object on standard output."""

import importlib.abc
import importlib.machinery
import json
import sys
import time
import types

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


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Has any attribute of any module below ``name``: networks that run need none of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.name:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda attribute: type(attribute, (), {})
        return module

    def exec_module(self, module):
        module.__path__ = []


def stand_in(name: str) -> None:
    """Let modules below ``name`` be imported, if they are not installed."""
    sys.meta_path.append(_StandIn(name))
