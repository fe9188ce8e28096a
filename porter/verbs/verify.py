"""verify: compares what a port and the original compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from porter.catalog.goldens import Recorded
from porter.catalog.models import Arch, find_arch
from porter.errors import PorterError
from porter.files.installed import require_package
from porter.files.memory import peak_memory
from porter.files.progress import Track, untracked
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs
from porter.mapping.dialects import ORIGINAL
from porter.mapping.file_dialect import file_dialect
from porter.mapping.follow import following_file
from porter.mapping.head import Head, head_beside
from porter.mapping.shapes import IMAGE_CHANNELS
from porter.mapping.table import Table
from porter.mapping.translate import Options, Translation
from porter.nets.build import require_framework
from porter.parity.compare import Report
from porter.parity.compare_runs import Settings, Subject, compare_runs
from porter.parity.graph_preprocessing import graph_preprocessing
from porter.parity.other_preprocessing import preprocessing_drift
from porter.parity.other_weights import other_weights
from porter.parity.per_image import ImageResults
from porter.parity.result import GraphInput, OwnInput, Verification
from porter.runners.context import Context
from porter.runners.images import Images, PreparedImages, sample_paths
from porter.runners.library_side import named_library
from porter.runners.open_side import beside_golden, dialect_side, golden_side, open_side, port_side, require_side
from porter.runners.side import Side
from porter.runners.tensorflow_settings import before_tensorflow


def verify(
    model: str,
    checkpoint: str | Path | None = None,
    images: Sequence[str | Path] = (),
    frameworks: Sequence[str] = ("torch",),
    average: str = "auto",
    ignore: Sequence[str] = (),
    prefix: str | None = None,
    *,
    rename: Mapping[str, str] | None = None,
    backbone: bool = False,
    graph: str | Path | None = None,
    reference: str | None = None,
    candidate: str | None = None,
    endpoint_map: Mapping[str, str] | str | Path | None = None,
    preprocessing: str | None = None,
    labels: str | Path | None = None,
    expect_sha256: Sequence[str] = (),
    settings: Settings | None = None,
    trust_graph: bool = False,
    tag: str | None = None,
    track: Track[int] = untracked,
) -> Verification:
    """Verify the port of ``model`` in each of ``frameworks``, by the two rules of porter.parity.compare.

    Without a ``checkpoint`` the port gets the golden's name-seeded weights, and the golden is the reference. With one,
    TensorFlow runs the original on ``images``, the sample images by default: the ``graph``, or the checkpoint where it
    is a frozen graph, or the model's recorded graph, filled by TensorFlow's own reader.

    ``average``, ``ignore``, ``prefix``, ``rename`` and ``backbone`` choose tensors as those of porter.verbs.port do.

    ``reference`` and ``candidate`` name other sides, see porter.runners.open_side. ``endpoint_map`` says where the
    user's network has its endpoints. ``preprocessing`` names one of porter.runners.presets, by default the model's.
    ``labels`` is a file that names the classes, see porter.files.labels. ``expect_sha256`` are the digests that the
    files must have, see porter.formats.input_digests. ``images`` are read batch by batch, so many images need no more
    memory than a few. ``tag`` chooses among the graphs of a SavedModel, as porter.verbs.inspect says.
    Raises PorterError where the arguments or the files do not allow the comparison.
    """
    arch = find_arch(model)
    before_tensorflow()
    inputs = Inputs(expect_sha256)
    if graph is not None:
        if reference is not None:
            raise PorterError("`graph` and `reference` both name the reference: give one of them")
        reference, checkpoint = f"tf:{graph}", checkpoint if checkpoint is not None or candidate is not None else graph
    sides = [side for side in (reference, candidate) if side is not None]
    if tag is not None and not any(side.startswith("tf:") for side in sides):
        raise PorterError("`tag` chooses among the graphs of a SavedModel: name that by `graph`")
    if endpoint_map is not None and not any(side.rpartition(":")[0].endswith(".py") for side in sides):
        raise PorterError("`endpoint_map` needs a network of yours: name it by `candidate`, as module.py:function")
    if checkpoint is None and not sides:
        _refuse_unused({"images": images, "preprocessing": preprocessing, "backbone": backbone, "labels": labels})
    opened = inputs.open(checkpoint) if checkpoint is not None else None
    arch = following_file(arch, opened.entries) if opened is not None else arch
    runs_graph = any(side.startswith("tf:") for side in sides) or _is_graph(opened)
    if trust_graph and not runs_graph:
        raise PorterError("no graph of yours runs here: leave `trust_graph` out, or name the graph by `graph`")
    if opened is None and not runs_graph:
        _refuse_unused({"ignore": ignore, "prefix": prefix, "rename": rename, "average": average != "auto"})
    context = Context(
        replace(arch, preprocessing=preprocessing) if preprocessing else arch,
        Table.of(arch),
        arch.input_size,
        opened,
        Options(average, ignore, prefix, rename=rename or {}, backbone=backbone),
        trust_graph,
        endpoints=endpoint_map,
        inputs=inputs,
        tag=tag,
        source=file_dialect(opened, arch) if opened is not None else ORIGINAL,
    )
    if reference is None and opened is None:
        reference = "golden"
    if opened is None and any(map(named_library, sides)):
        context = beside_golden(context)  # a library's network and a port of the golden's weights, or the golden itself
    if "golden" in (reference, candidate):
        if images:
            raise PorterError("a golden holds the sample images' values only: leave `images` out")
        if opened is not None and reference == "golden" and not (candidate or "").startswith("tf:"):
            raise PorterError(
                "a port gets name-seeded weights where the reference is golden: leave `checkpoint` out, or give "
                '`candidate="golden"` to compare the original with it'
            )
        context = beside_golden(context)
    if labels is not None and context.golden:
        raise PorterError("goldens have no labels of yours: leave `labels` out beside golden")
    head = head_beside(backbone, None, labels)
    prepared = _images(context, images)
    against = open_side(reference, context) if reference is not None else _original(context)
    ports = [open_side(candidate, context)] if candidate is not None else _ports(context, frameworks)
    inputs.close()
    result = _compared(context, against, ports, prepared, settings, head, track)
    inputs.add(map(Path, images), compare=False)
    return replace(result, digests=inputs.digests)


def _is_graph(opened: Checkpoint | None) -> bool:
    """Tell whether the checkpoint is a frozen graph, which runs itself."""
    if opened is None:
        return False
    from porter.formats.tensorflow import frozen

    return opened.format == frozen.FORMAT


def _refuse_unused(given: Mapping[str, object]) -> None:
    """Raise PorterError for an argument that has no meaning without a checkpoint."""
    for name, value in given.items():
        if value:
            raise PorterError(f"without a checkpoint `{name}` has no effect: give `checkpoint`, or leave `{name}` out")


def _original(context: Context, translation: Translation | None = None) -> Side:
    """Return TensorFlow running the original of the checkpoint."""
    require_package("tensorflow", "tf")
    from porter.runners.original import original_side

    return original_side(context, translation=translation)


def _ports(context: Context, frameworks: Sequence[str]) -> list[Side]:
    """Return the ports of the context's weights."""
    sides = []
    for framework in dict.fromkeys(frameworks):
        require_framework(context.arch, framework)
        tensors = context.tensors(framework)
        sides.append(port_side(framework, tensors, context))
    return sides


def _images(context: Context, images: Sequence[str | Path]) -> Images:
    """Return the golden's images, or the files prepared batch by batch; by default the sample images."""
    if context.golden:
        from porter.runners.golden import golden_images

        return golden_images(context.size)
    paths = [Path(image) for image in images] or sample_paths()
    return PreparedImages(paths, context.arch.preprocessing, context.size, context.channels)


def verify_golden(
    arch: Arch,
    frameworks: Sequence[str],
    golden: Recorded | None = None,
    settings: Settings | None = None,
    track: Track[int] = untracked,
) -> Verification:
    """Compare ports with name-seeded weights with a golden, the model's own by default."""
    context = beside_golden(Context(arch, Table.of(arch), arch.input_size, golden=golden))
    sides = _ports(context, frameworks)
    return _compared(context, golden_side(context), sides, _images(context, ()), settings, track=track)


def verify_checkpoint(
    arch: Arch,
    checkpoint: Checkpoint,
    translation: Translation,
    ports: Mapping[str, Checkpoint],
    images: Sequence[str | Path] = (),
    head: Head | None = None,
    settings: Settings | None = None,
    trust_graph: bool = False,
    track: Track[int] = untracked,
    options: Options | None = None,
) -> Verification:
    """Compare ``ports``, tensors by the dialect of their names, with the original of ``checkpoint`` in TensorFlow.

    ``translation`` says which of the checkpoint's entries the original gets; ``options`` are those that it was made
    with. With another ``head`` than the checkpoint's, the original's remaining outputs are compared. Where a port is
    TensorFlow's own, the reference is porter's network in the framework of the checkpoint's names.
    """
    context = Context(
        arch,
        Table.of(arch),
        arch.input_size,
        checkpoint,
        options or Options(),
        trust_graph,
        in_channels=translation.in_channels,
        source=translation.source,
    )
    prepared = _images(context, images)
    require_package("tensorflow", "tf")
    for dialect in ports:
        require_side(dialect, context)
    origin = context.table.record(translation.source).framework
    if origin in arch.builders and any(context.table.record(dialect).framework == ORIGINAL for dialect in ports):
        require_framework(arch, origin)
        reference = port_side(origin, context.tensors(origin), context)
        reference = replace(reference, title=f"{checkpoint.path.name} in {reference.runner.label}")
    else:
        reference = _original(context, translation)
    written = replace(context, options=Options(headless=not translation.num_classes, parts=context.options.parts))
    sides = [dialect_side(dialect, tensors, written) for dialect, tensors in ports.items()]
    return _compared(context, reference, sides, prepared, settings, head, track)


def _compared(
    context: Context,
    reference: Side,
    candidates: Sequence[Side],
    images: Images,
    settings: Settings | None,
    head: Head | None = None,
    track: Track[int] = untracked,
) -> Verification:
    """Run all sides on ``images`` and return what was found."""
    subject = Subject(context.arch, context.table, head or Head())
    files = images if isinstance(images, PreparedImages) else None
    collected = ImageResults(subject, files.paths if files else None)
    runners = {side.name: side.runner for side in candidates}
    reports = compare_runs(runners, reference.runner, images, subject, settings, track, collected)
    for side in candidates:
        reports[side.name] = _with_weights(reports[side.name], reference, side, context)
    drift: list[OwnInput | GraphInput] = []
    if files:
        judged = context.table.judged
        drift += preprocessing_drift(files, reference.runner, judged, track, judged == context.table.logits)
        both = (reference.runner, *runners.values())
        drift += filter(None, (graph_preprocessing(files, runner, judged) for runner in both))
    return Verification(
        context.arch.name,
        reference.title,
        _described(context, images),
        reports,
        tuple(collected.images),
        tuple(drift),
        reference.runner.label,
        {side.name: side.runner.label for side in candidates},
        {side.name: side.title for side in candidates if side.title},
        collected.logits,
        peak_memory=peak_memory(),
    )


def _with_weights(report: Report, reference: Side, candidate: Side, context: Context) -> Report:
    """Return ``report`` with other weights as the cause, where the two sides do not have the same."""
    if report.first_divergence is None:
        return report
    cause = other_weights(reference, candidate, context.arch, context.checkpoint, context.options)
    return report if cause is None else replace(report, cause=cause)


def _described(context: Context, images: Images) -> str:
    """Say what the sides computed on."""
    if not isinstance(images, PreparedImages):
        return f"sample images, centre {context.size}x{context.size}, scaled to [-1, 1]; name-seeded weights"
    count = f"{len(images)} image{'' if len(images) == 1 else 's'}"
    channels = {1: " in gray", IMAGE_CHANNELS: ""}.get(images.channels, f" with {images.channels} channels")
    return f"{count}, {images.preprocessing} preprocessing to {images.sides[0]}x{images.sides[1]}{channels}"
