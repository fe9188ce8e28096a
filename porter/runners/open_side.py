"""open_side: opens what a side's spec names.

golden              what the original code computed for the sample images
torch:FILE          the model in PyTorch, with the weights of a file or folder, in any dialect
torch-fused:FILE    the same with batch norms folded, as load has it with fused=True; without FILE, the port's weights
keras:FILE          the same in Keras
tf:GRAPH            TensorFlow running a graph itself
timm, hf, …         a library's own network with the same weights, see porter.runners.library_side
module.py:function  the user's own network
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from porter.catalog.goldens import Recorded, recorded
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import ORIGINAL
from porter.mapping.file_dialect import to_framework
from porter.mapping.translate import translate
from porter.runners.context import Context
from porter.runners.library_side import library_side, named_library
from porter.runners.runner import Runner
from porter.runners.side import Side, original_weights
from porter.runners.tensorflow_settings import before_tensorflow

FUSED = "torch-fused"


def open_side(spec: str, context: Context) -> Side:
    """Return the side that ``spec`` names. Raises PorterError where ``spec`` is unknown or the side cannot be built."""
    kind, _, rest = spec.partition(":")
    if spec == "golden":
        return golden_side(context)
    if kind == FUSED:
        return _fused_side(Path(rest) if rest else None, context)
    if kind in ("torch", "keras") and rest:
        return _file_side(kind, Path(rest), context)
    if kind == "tf" and rest:
        from porter.runners.original import original_side

        return original_side(context, Path(rest))
    if named_library(spec):
        return library_side(spec, context)
    path, _, function = spec.rpartition(":")
    if path.endswith(".py") and function:
        from porter.runners.user_code import user_runner

        context.inputs.add([Path(path)] if Path(path).is_file() else [])
        return Side(function, f"{function} of {Path(path).name}", user_runner(Path(path), function, context))
    libraries = ", ".join(context.table.record(dialect).library for dialect in context.table.networks)
    raise PorterError(
        f"unknown side {spec!r}: choose golden, torch:FILE, {FUSED}:FILE, keras:FILE, tf:GRAPH, module.py:function or "
        f"a library's own network ({libraries or 'none here'})"
    )


def golden_side(context: Context) -> Side:
    """Return the context's golden, or the model's own where it has none."""
    from porter.runners.golden import GoldenRunner

    golden = context.golden or _golden_of(context.arch)
    title = f"the golden of the original code, {golden.origin}"
    return Side("golden", title, GoldenRunner(golden, context.table))


def beside_golden(context: Context) -> Context:
    """Return ``context`` for a comparison with its golden: the golden's input size and name-seeded weights."""
    golden = context.golden or _golden_of(context.arch)
    return replace(context, golden=golden, size=golden.input_size)


def _golden_of(arch: Arch) -> Recorded:
    """Return the golden of a model that has one of its own. Raises PorterError for any other."""
    if arch.base:
        raise PorterError(
            f"{arch.name} has no golden of its own: give a `checkpoint`, or verify {arch.base}, a model with the same "
            "code that has one"
        )
    return recorded(arch.golden)


def _file_side(framework: str, path: Path, context: Context) -> Side:
    tensors = _tensors_of(framework, path, context)
    runner = network_runner(framework, tensors, context)
    weights = partial(original_weights, tensors, context.arch, framework)
    return Side(framework, f"{path.name} in {runner.label}", runner, weights)


def _fused_side(path: Path | None, context: Context) -> Side:
    """Return porter's PyTorch network with folded batch norms, and the weights of a file or of this comparison."""
    tensors = context.tensors("torch") if path is None else _tensors_of("torch", path, context)
    runner = network_runner("torch", tensors, context, fused=True)
    weights = partial(original_weights, tensors, context.arch, "torch")
    return Side(FUSED, f"{path.name if path else 'the port'} in {runner.label}", runner, weights)


def _tensors_of(framework: str, path: Path, context: Context) -> Checkpoint:
    """Return the tensors of a file under the names of ``framework``."""
    from porter.nets.build import require_framework

    require_framework(context.arch, framework)
    tensors = context.inputs.open(path)
    translation = to_framework(tensors, context.arch, framework)
    return tensors if translation is None else translation.as_checkpoint(tensors)


def require_side(dialect: str, context: Context) -> None:
    """Raise PorterError where a port with names of ``dialect`` has no network that runs here."""
    from porter.nets.build import require_framework

    framework = context.table.record(dialect).framework
    if framework != ORIGINAL:
        require_framework(context.arch, framework)


def dialect_side(dialect: str, tensors: Checkpoint, context: Context) -> Side:
    """Return a port with names of ``dialect``, run by the exact network of its framework.

    That is porter's own, or TensorFlow running the original. ``tensors`` are translated back to its names as the
    context's options say.
    """
    framework = context.table.record(dialect).framework
    if framework == ORIGINAL:
        from porter.runners.original import original_side

        side = original_side(replace(context, checkpoint=tensors, source=dialect))
        return replace(side, name=dialect, title="")
    if dialect != framework:
        own = translate(tensors, context.arch, dialect, framework, context.options)
        tensors = own.as_checkpoint(tensors)
    return replace(port_side(framework, tensors, context), name=dialect)


def port_side(framework: str, tensors: Checkpoint, context: Context) -> Side:
    """Return a port: porter's own network in ``framework``, filled with ``tensors`` of its names."""
    weights = partial(original_weights, tensors, context.arch, framework)
    return Side(framework, "", network_runner(framework, tensors, context), weights)


def network_runner(framework: str, tensors: Checkpoint, context: Context, fused: bool = False) -> Runner:
    """Return the runner of porter's own network, which must compute every endpoint of the reference.

    It has the optional parts that compute an endpoint, where ``tensors`` have them. A ``fused`` network is folded in
    float64: it has the weights that load gives it once they are rounded to float32.
    """
    from porter.nets.build import build
    from porter.nets.filling import parts_to_compare
    from porter.runners.runner_of import runner_of

    before_tensorflow()
    parts = parts_to_compare(context.table, framework, tensors)
    options: dict[str, Any] = dict.fromkeys(parts, True) | ({"dtype": "float64"} if fused else {})
    network = build(context.arch, framework, tensors, input_size=context.size, **options)
    if fused:
        from porter.nets.fuse_torch import fuse

        network = fuse(network)
    runner = runner_of(network, context.table, strict=True)
    if fused:
        runner.label += ", fused"
    return runner
