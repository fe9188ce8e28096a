"""Sides: what --left and --right name, each a runner and what a reader should call it.

golden              what the original code computed for the sample pictures
torch:FILE          the model in PyTorch, with the weights of a file or folder that porter wrote
keras:FILE          the same in Keras
tf:GRAPH            TensorFlow running a graph itself
module.py:function  somebody else's network
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from porter.archs import Arch
from porter.checkpoint import Checkpoint
from porter.errors import PorterError
from porter.inputs import Inputs
from porter.mapping import Table
from porter.recorded import Recorded, recorded, seeded_checkpoint
from porter.runners import Runner
from porter.runners.settings import before_tensorflow
from porter.translate import Options
from porter.verification import NAMES


@dataclass(frozen=True)
class Side:
    """A runner, the name it has in ``ports`` and in headings, and what it is."""

    name: str
    title: str
    runner: Runner

    @property
    def is_golden(self) -> bool:
        return hasattr(self.runner, "probe")


@dataclass(frozen=True)
class Context:
    """What a spec is read with. ``beside`` is the spec of the other side, ``endpoints`` a user's table of names.

    ``inputs`` gathers the files that are read.
    """

    arch: Arch
    table: Table
    size: int
    checkpoint: Checkpoint | None = None
    options: Options = field(default_factory=Options)
    trust_graph: bool = False
    beside: str | None = None
    endpoints: Mapping[str, str] | str | Path | None = None
    inputs: Inputs = field(default_factory=Inputs)


def open_side(spec: str, context: Context) -> Side:
    """Return the side that ``spec`` names. Raises PorterError where it names none, or it cannot be built."""
    kind, _, rest = spec.partition(":")
    if spec == "golden":
        return golden_side(context)
    if kind in ("torch", "keras") and rest:
        return _file_side(kind, Path(rest), context)
    if kind == "tf" and rest:
        from porter.live import live_runner

        runner, title = live_runner(Path(rest), context)
        return Side("tf", title, runner)
    path, _, function = spec.rpartition(":")
    if path.endswith(".py") and function:
        from porter.foreign import foreign_runner

        context.inputs.add([Path(path)] if Path(path).is_file() else [])
        return Side(function, f"{function} of {Path(path).name}", foreign_runner(Path(path), function, context))
    raise PorterError(f"{spec!r} names no side: take golden, torch:FILE, keras:FILE, tf:GRAPH or module.py:function")


def golden_side(context: Context, golden: Recorded | None = None) -> Side:
    """Return a golden; the model's own unless another is given."""
    from porter.runners.golden import GoldenRunner

    golden = golden or recorded(context.arch.name)
    title = f"the golden of the original code, {golden.recipe['slim_name']} of TF-Slim"
    return Side("golden", title, GoldenRunner(golden, context.table))


def _file_side(framework: str, path: Path, context: Context) -> Side:
    from porter.load import require_framework

    require_framework(context.arch, framework)
    tensors = context.inputs.open(path)
    runner = network_runner(framework, tensors, context)
    return Side(framework, f"{path.name} in {NAMES[framework]}", runner)


def network_runner(framework: str, tensors: Checkpoint, context: Context) -> Runner:
    """Return the runner of porter's own network in ``framework``, filled with ``tensors`` of its names."""
    from porter.endpoints import runner_of
    from porter.load import build

    before_tensorflow()
    return runner_of(build(context.arch, framework, tensors, input_size=context.size), context.table)


def weights_for(context: Context) -> dict[str, np.ndarray] | None:
    """Return the TensorFlow variables that a user's builder gets: the golden's beside one, else the checkpoint's."""
    from porter.translate import translate

    if context.beside == "golden":
        return dict(seeded_checkpoint(recorded(context.arch.name)))
    if context.checkpoint is None:
        return None
    taken = translate(context.checkpoint, context.arch, "tf", "tf", context.options).taken
    return {name: context.checkpoint[stored] for name, stored in taken.items()}
