"""Sides: what --reference and --candidate name, each a runner and what a reader should call it.

golden              what the original code computed for the sample pictures
torch:FILE          the model in PyTorch, with the weights of a file or folder that porter wrote
keras:FILE          the same in Keras
tf:GRAPH            TensorFlow running a graph itself
module.py:function  somebody else's network
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from porter.catalog.goldens import Recorded, recorded
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import FRAMEWORKS
from porter.runners.context import Context
from porter.runners.runner import Runner
from porter.runners.settings import before_tensorflow


@dataclass(frozen=True)
class Side:
    """A runner, the name it has in ``ports`` and in headings, and what it is."""

    name: str
    title: str
    runner: Runner


def open_side(spec: str, context: Context) -> Side:
    """Return the side that ``spec`` names. Raises PorterError where it names none, or it cannot be built."""
    kind, _, rest = spec.partition(":")
    if spec == "golden":
        return golden_side(context)
    if kind in ("torch", "keras") and rest:
        return _file_side(kind, Path(rest), context)
    if kind == "tf" and rest:
        from porter.runners.original import live_runner

        runner, title = live_runner(Path(rest), context)
        return Side("tf", title, runner)
    path, _, function = spec.rpartition(":")
    if path.endswith(".py") and function:
        from porter.runners.user_code import foreign_runner

        context.inputs.add([Path(path)] if Path(path).is_file() else [])
        return Side(function, f"{function} of {Path(path).name}", foreign_runner(Path(path), function, context))
    raise PorterError(f"{spec!r} names no side: take golden, torch:FILE, keras:FILE, tf:GRAPH or module.py:function")


def golden_side(context: Context, golden: Recorded | None = None) -> Side:
    """Return a golden; the model's own unless another is given."""
    from porter.runners.golden import GoldenRunner

    golden = golden or recorded(context.arch.name)
    title = f"the golden of the original code, {golden.origin}"
    return Side("golden", title, GoldenRunner(golden, context.table))


def _file_side(framework: str, path: Path, context: Context) -> Side:
    from porter.nets.build import require_framework

    require_framework(context.arch, framework)
    tensors = context.inputs.open(path)
    runner = network_runner(framework, tensors, context)
    return Side(framework, f"{path.name} in {FRAMEWORKS[framework]}", runner)


def network_runner(framework: str, tensors: Checkpoint, context: Context) -> Runner:
    """Return the runner of porter's own network in ``framework``, filled with ``tensors`` of its names."""
    from porter.nets.build import build
    from porter.runners.of_network import runner_of

    before_tensorflow()
    return runner_of(build(context.arch, framework, tensors, input_size=context.size), context.table)
