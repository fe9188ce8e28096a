"""verify_written: a written network, loaded again, against TensorFlow running its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.files.progress import Track
from porter.parity.compare import ErrorAccumulator, Report
from porter.runners.runner import Runner, of_images, run_all
from porter.verbs.graph_values import GraphValues
from porter.verbs.verify_loaded import LoadedCheck, SavedModel

if TYPE_CHECKING:
    import numpy as np

    from porter.graph.analysis.analysis import Analysis
    from porter.graph.codegen.network import Network, Output
    from porter.graph.codegen.step import Port, Program

MORE = 4
"""Times as many images where float32 rounding alone exceeds its bound: one gate of MobileNet V3 amplifies the rounding
of a single image, and the ratio of both sides is 4.6 on five images and 1.4 on twenty."""


def verify_written(
    source: Path,
    program: Program,
    network: Network,
    values: GraphValues,
    analysis: Analysis,
    trust: bool,
    track: Track[Any],
    saved: SavedModel | None = None,
) -> tuple[Report, str]:
    """Compare the network in the file ``source`` with its graph at each block, and return the report and the images.

    TensorFlow's own loader runs the signature of the SavedModel ``saved``, which the graph is from, on the same images.
    Pictures and noise run one at a time in float32 and float64. Where float32 rounding alone exceeds its bound, more
    noise decides whether that was chance. Where a block diverges, every layer is compared, so that the report begins
    with the node that diverges first. Dropout rests on both sides. Raises PorterError, FormatError.
    """
    from porter.graph.rewrite.joined import joined
    from porter.runners.decompiled import (
        DecompiledRunner,
        graph_runner,
        input_sizes,
        load_network,
        stop_dropout,
        trial_images,
    )

    path = analysis.source.path
    given = input_sizes(program, path, analysis.size)
    ends = _ends(program)
    whole = {port.tensor for port in given if "int" in analysis.dtype(port.tensor)}
    expects = _expected(analysis)
    images = trial_images(given, whole, expects)
    module = load_network(source)
    places = {name for name, _ in module.named_modules()}  # a source that its owner changed may lack some
    stop_dropout(module, places.intersection(network.running))
    masked = {step.node: step.masked for step in program.steps if step.masked}
    sizes_of = {port.tensor: sizes for port, sizes in given.items()}
    softmaxes = _softmaxes(program, ends, [*ends])
    loaded = LoadedCheck(saved, program, ends, values, given, softmaxes, trust) if saved else None

    def compared(everything: Sequence[Output], images: np.ndarray, loaded: LoadedCheck | None = None) -> Report:
        outputs = [output for output in everything if output.path in places]
        tensors = [*dict.fromkeys(output.tensor for output in outputs if output.tensor not in ends), *ends]
        ours = DecompiledRunner(module, given, outputs, ends)
        theirs = graph_runner(joined(values.frozen(masked), sizes_of), tensors, path, trust)
        return _report(ours, theirs, loaded, images, _softmaxes(program, ends, tensors), tensors[-1], track)

    report = compared(network.blocks, images, loaded)
    if loaded is not None:
        report = replace(report, notes=(*report.notes, loaded.verdict()))
    if not report and report.exact:
        images = trial_images(given, whole, expects, MORE * len(images))
        report = replace(compared(network.blocks, images), notes=report.notes)
    if not report:
        beyond = report.first_beyond
        at = beyond.worst if beyond is not None else 0
        every = compared(network.outputs, images[at : at + 1])
        report = report if every else every
    shapes = " and ".join("x".join(map(str, sizes)) for sizes in given.values())
    rests = ", with dropout at rest on both sides" if masked else ""
    return report, f"{len(images)} images of {shapes}, pictures and noise{rests}"


def _expected(analysis: Analysis) -> dict[str, tuple[float, float]]:
    """Return the range that the graph's first steps take images from: others would reach its layers as constants."""
    from porter.graph.analysis.first_steps import first_steps

    steps = first_steps(analysis)
    return {steps.input: steps.expects} if steps is not None and steps.expects is not None else {}


def _report(
    ours: Runner,
    theirs: Runner,
    loaded: LoadedCheck | None,
    images: np.ndarray,
    softmaxes: dict[str, str],
    judged: str,
    track: Track[Any],
) -> Report:
    sums = ErrorAccumulator(judged, softmaxes=softmaxes)
    for at in track(range(len(images)), "verifying"):
        _add(sums, ours, theirs, loaded, images[at : at + 1])
    return sums.report()


def _add(sums: ErrorAccumulator, ours: Runner, theirs: Runner, loaded: LoadedCheck | None, batch: np.ndarray) -> None:
    """Run both sides on a batch and add them; all outputs of a large image take gigabytes, and end here."""
    want, got = ({p: of_images(run, len(batch)) for p, run in run_all(side, batch).items()} for side in (theirs, ours))
    if loaded is not None:
        loaded.add(batch, want)
    order = list(want["float64"])
    sums.add({p: {name: run[name] for name in order if name in run} for p, run in got.items()}, want)


def _ends(program: Program) -> dict[str, Port]:
    """Return the network's outputs by the tensors of the graph that they are compared with.

    That is the tensor of the step, or the output itself where a transpose in the graph lies between them.
    """
    layout = {name: step.channels_first for step in program.steps if step.nodes for name in step.computes}
    return {
        port.source if layout.get(port.source) == port.channels_first else port.tensor: port for port in program.outputs
    }


def _softmaxes(program: Program, ends: Mapping[str, Port], tensors: Sequence[str]) -> dict[str, str]:
    """Return the tensor whose softmax each of the network's outputs is, where both are compared."""
    steps = {step.node: step for step in program.steps}
    found: dict[str, str] = {}
    for name, port in ends.items():
        step = steps.get(port.source)
        if step is None or step.what != "softmax":
            continue
        below = steps.get(step.inputs[0])
        while below is not None and below.node not in tensors and len(below.inputs) == 1 and not below.weights:
            below = steps.get(below.inputs[0])
        if below is not None and below.node in tensors:
            found[name] = below.node
    return found
