"""Steps of a network, run one by one in PyTorch and beside TensorFlow: the judge of every translation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.catalog.seeded_weights import seeded
from porter.formats.tensorflow.graph_source import graph_source
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.analysis.analysis import Analysis
from porter.graph.codegen.helper_text import helper_text
from porter.graph.codegen.layout import literal
from porter.graph.codegen.lower import lower
from porter.graph.codegen.step import Program, Step
from porter.graph.graph import parse_ref
from porter.graph.rewrite.channels_last import channels_last
from porter.graph.rewrite.freeze import freeze
from porter.graph.rewrite.prune import prune
from porter.graph.rewrite.unfuse import fused, unfuse
from porter.graph.rewrite.weights_apart import weights_apart
from porter.graph.rewrite.widen import widen

Values = dict[str, np.ndarray]
BATCH = 2


def program_of(analysis: Analysis) -> Program:
    """Return the program of a graph that has a translation as a whole."""
    program = lower(analysis)
    assert not program.problems, program.problems
    return program


def frozen_graph(analysis: Analysis) -> Any:
    """Return the graph with name-seeded weights where it has variables, and all that its outputs need."""
    values = {
        name: seeded(name, tuple(size or 1 for size in variable.shape or ()))
        for name, variable in analysis.all_variables.items()
        if analysis.graph.nodes[name].op != "Const"
    }
    graph = unfuse(analysis.source.graph) if fused(analysis.source.graph) else analysis.source.graph
    graph = freeze(graph, values) if values else graph
    return prune(graph, analysis.paths.outputs, analysis.source.path)


def images_of(program: Program, seed: int = 0, side: int = 0) -> Values:
    """Return noise for every input, channels last; ``side`` replaces open heights and widths."""
    random = np.random.default_rng(seed)
    sizes = {
        port.tensor: [BATCH if at == 0 and size is None else size or side for at, size in enumerate(port.shape)]
        for port in program.inputs
    }
    return {name: random.uniform(-1, 1, shape) for name, shape in sizes.items()}


def run_tensorflow(tf: Any, graph: Any, images: Values, tensors: list[str], dtype: str = "float64") -> Values:
    """Return ``tensors`` of a frozen graph, in TensorFlow's order of axes."""
    last, _ = channels_last(graph, Path("graph.pb"))
    lean, weights = weights_apart(last, Path("graph.pb"))  # TensorFlow copies constants many times
    wide = widen(lean, Path("graph.pb")) if dtype == "float64" else lean
    for node in wide.node:
        if node.name in images and len(node.attr["shape"].shape.dim):
            node.attr["shape"].shape.dim[0].size = -1
    with tf.Graph().as_default() as imported:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(wide.SerializeToString()), name="")
        fetches = {name: ":".join(map(str, parse_ref(name))) for name in tensors}
        options = tf.compat.v1.ConfigProto()
        options.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.compat.v1.Session(graph=imported, config=options) as session:
            fed = {f"{name}:0": value.astype(dtype) for name, value in (weights | images).items()}
            return session.run(fetches, fed)  # type: ignore[no-any-return]


def run_steps(program: Program, graph: Any, images: Values, dtype: str = "float64") -> Values:
    """Return every tensor of the program's steps, in TensorFlow's order of axes."""
    import torch

    space = _namespace(torch)
    constants = {node.name: node for node in graph.node if node.op == "Const"}

    def weight(name: str) -> np.ndarray:
        return tensor_values(Path(), name, constants[name].attr["value"].tensor)

    known: dict[str, Any] = {}
    first: dict[str, bool] = {}
    for port in program.inputs:
        given = torch.from_numpy(images[port.tensor].astype(dtype))
        known[port.tensor] = given.movedim(-1, 1) if port.channels_first else given
        first[port.tensor] = port.channels_first
    with torch.no_grad():
        for step in program.steps:
            found = _run(space, step, [known[name] for name in step.inputs], weight, getattr(torch, dtype))
            values = found if step.outputs > 1 else (found,)
            assert len(values) == step.outputs
            for name, value in zip(step.computes, values, strict=True):
                known[name], first[name] = value, step.channels_first
                _check_shape(step, name, value)
    turned = {name: value.movedim(1, -1) if first[name] else value for name, value in known.items()}
    return {name: value.numpy() for name, value in turned.items()}


def _check_shape(step: Step, name: str, value: Any) -> None:
    if name != step.node or step.shape is None or not step.nodes:
        return
    shape = tuple(value.movedim(1, -1).shape if step.channels_first else value.shape)
    assert len(shape) == len(step.shape), (name, shape, step.shape)
    assert all(want in (None, size) for size, want in zip(shape, step.shape, strict=True)), (name, shape, step.shape)


def _namespace(torch: Any) -> dict[str, Any]:
    from collections.abc import Sequence

    space: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "math": math}
    space |= {"Tensor": torch.Tensor, "Sequence": Sequence, "__name__": "helpers_of_steps"}
    module = ModuleType("helpers_of_steps")
    module.__dict__.update(space)
    for text in helper_text(_all_helpers()):
        exec("from __future__ import annotations\n" + text, module.__dict__)
    return module.__dict__


def _all_helpers() -> list[str]:
    from porter.graph.codegen.helper_text import helper_names

    return helper_names()


def _run(space: dict[str, Any], step: Step, inputs: list[Any], weight: Any, dtype: Any) -> Any:
    torch = space["torch"]
    tensors = {}
    for kept in step.weights:
        value = weight(kept.name)
        value = value.transpose(kept.order) if kept.order else value
        value = value.reshape(kept.shape) if kept.shape is not None else value
        tensors[kept.attribute] = torch.from_numpy(np.array(value)).to(eval(kept.dtype, space) if kept.dtype else dtype)
    if not step.module:
        names = {f"x{at}": value for at, value in enumerate(inputs)}
        text = step.expression.format(*names, **{name: f"w_{name}" for name in tensors}, **_literals(step))
        return eval(text, space, names | {f"w_{name}": value for name, value in tensors.items()})
    module = eval(step.module, space)(**step.arguments).to(dtype).eval()
    state = {name: torch.full_like(value, step.fills.get(name, 0)) for name, value in module.state_dict().items()}
    wanted = {name for name in state if name != "num_batches_tracked"}
    assert wanted == tensors.keys() | step.fills.keys(), (step.node, wanted, tensors.keys())
    module.load_state_dict({**state, **tensors})
    result = module(*inputs)
    if step.expression:
        names = {f"x{at}": value for at, value in enumerate(inputs)}
        assert torch.allclose(result, eval(step.expression.format(*names, **_literals(step)), space, names), rtol=1e-12)
    if step.general is not None:
        assert step.general.helpers
        other = eval(step.general.module, space)(**step.general.arguments).to(dtype).eval()
        other.load_state_dict(module.state_dict())
        assert torch.allclose(other(*inputs), result, rtol=1e-9 if dtype == torch.float64 else 1e-4, atol=1e-6)
    return result


def _literals(step: Step) -> dict[str, str]:
    return {name: literal(value) for name, value in step.arguments.items()}


def compare(tf: Any, analysis: Analysis, side: int = 0, largest: float = 1e-12, dtype: str = "float64") -> Program:
    """Assert that every step computes what TensorFlow computes; return the program."""
    program = program_of(analysis)
    graph = frozen_graph(analysis)
    images = images_of(program, side=side)
    got = run_steps(program, graph, images, dtype)
    names = [name for step in program.steps if step.nodes for name in step.computes if name not in images]
    want = run_tensorflow(tf, graph, images, names + [port.tensor for port in program.outputs], dtype)
    for port in program.outputs:
        got[port.tensor] = got[port.source]
    for name, value in want.items():
        assert got[name].shape == value.shape, (name, got[name].shape, value.shape)
        scale = np.abs(value).max(initial=1e-30) if value.dtype.kind == "f" else 1
        error = np.abs(got[name].astype(float) - value.astype(float)).max(initial=0) / scale
        assert error <= largest, (name, error)
    return program


def analysis_of(tf: Any, build: Callable[..., Any], *shapes: tuple[int | None, ...]) -> Analysis:
    """Return the analysis of what ``build`` makes of placeholders, with TensorFlow's own functions."""
    with tf.Graph().as_default() as made:
        inputs = [tf.compat.v1.placeholder(tf.float32, shape, name=f"x{at}") for at, shape in enumerate(shapes)]
        results = build(*inputs)
        for at, result in enumerate(results if isinstance(results, list | tuple) else [results]):
            tf.identity(result, name=f"out{at}")
    definition = GraphDef.FromString(made.as_graph_def().SerializeToString())
    return Analysis(graph_source(Path("made.pb"), definition))


def variable(tf: Any, *shape: int, name: str = "weights") -> Any:
    """Return a constant as freezing leaves a variable: behind an Identity called read."""
    values = np.random.default_rng(math.prod(shape)).uniform(-1, 1, shape).astype(np.float32)
    return tf.identity(tf.constant(values, name=name), name=f"{name}/read")


def described(program: Program) -> list[str]:
    """Return the steps as lines of text, for tests that read them."""
    lines = []
    for step in program.steps:
        called = step.module or step.expression
        weights = [replace(weight, name=weight.name.rsplit("/", 1)[-1]) for weight in step.weights]
        lines.append(f"{step.node}: {called} {step.arguments or ''} {[w.name for w in weights] or ''} <- {step.inputs}")
    return lines
