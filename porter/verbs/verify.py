"""verify: does a port compute what the original computes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from porter.catalog.goldens import Recorded, recorded, seeded_checkpoint
from porter.catalog.models import Arch, find_arch
from porter.errors import PorterError, plural
from porter.files.installed import require_package
from porter.files.progress import Track, untracked
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs
from porter.mapping.dialects import NAMES
from porter.mapping.head import Head, has_background
from porter.mapping.relayout import relayout
from porter.mapping.table import Table
from porter.mapping.translate import Options, Translation, translate
from porter.nets.build import require_framework
from porter.parity.compare_runs import Settings, compare_runs
from porter.parity.other_preprocessing import preprocessing_drift
from porter.parity.result import Labels, PictureResult, Verification
from porter.runners.context import Context
from porter.runners.open_side import Side, golden_side, network_runner, open_side
from porter.runners.pictures import prepare, sample_paths, top_labels
from porter.runners.runner import Runner
from porter.runners.settings import before_tensorflow
from porter.runners.softmax import softmax


def verify(
    model: str,
    checkpoint: str | Path | None = None,
    images: Sequence[str | Path] = (),
    frameworks: Sequence[str] = ("torch",),
    average: str = "auto",
    ignore: Sequence[str] = (),
    prefix: str | None = None,
    *,
    graph: str | Path | None = None,
    reference: str | None = None,
    candidate: str | None = None,
    endpoint_map: Mapping[str, str] | str | Path | None = None,
    preprocessing: str | None = None,
    expect_sha256: Sequence[str] = (),
    settings: Settings | None = None,
    trust_graph: bool = False,
    track: Track[int] = untracked,
) -> Verification:
    """Verify the port of ``model`` in each of ``frameworks`` by the two rules of porter.parity.compare.

    Without a ``checkpoint`` the port is filled with the golden's seeded weights and held against what
    the original code computed. With one, TensorFlow runs the original on ``images`` (default: the
    sample pictures): a frozen graph itself, the ``graph`` that is given, filled with the checkpoint, or else the
    original's recorded graph filled by TensorFlow's own reader.

    ``reference`` and ``candidate`` name other sides, see porter.runners.open_side; ``endpoint_map`` says where a
    user's network has its endpoints. ``preprocessing`` is a preset of porter.runners.pictures, the model's own
    where it is None.
    ``expect_sha256`` are those that the files read must have, see porter.formats.input_digests.
    Raises PorterError where that cannot be done.
    """
    arch = find_arch(model)
    before_tensorflow()
    settings = settings or Settings()
    inputs = Inputs(expect_sha256)
    if graph is not None:
        if reference is not None:
            raise PorterError("--graph and --reference both name the reference: take one of them")
        reference, checkpoint = f"tf:{graph}", checkpoint if checkpoint is not None or candidate is not None else graph
    if endpoint_map is not None and candidate is None and reference is None:
        raise PorterError(
            "--endpoint-map names the endpoints of your own network: name that network with --candidate "
            "module.py:function"
        )
    options = Options(average, ignore, prefix)
    if checkpoint is None and reference is None and candidate is None:
        given = {
            "--images": images,
            "--ignore": ignore,
            "--prefix": prefix,
            "--preprocessing": preprocessing,
            "--average": average != "auto",
        }
        for option in (name for name, value in given.items() if value):
            raise PorterError(f"without a checkpoint the goldens are compared: give --checkpoint to use {option}")
        inputs.close()
        return verify_golden(arch, frameworks, settings=settings, track=track)
    opened = inputs.open(checkpoint) if checkpoint is not None else None
    chosen = replace(arch, preprocessing=preprocessing) if preprocessing else arch
    if reference is None and candidate is None:
        assert opened is not None
        translations = {f: translate(opened, arch, "tf", f, options) for f in frameworks}
        ports = {f: translation.as_checkpoint(opened) for f, translation in translations.items()}
        first = next(iter(translations.values()))
        inputs.close()
        result = verify_checkpoint(chosen, opened, first, ports, images, None, settings, trust_graph, track)
    else:
        size = arch.input_size
        context = Context(arch, Table.load(arch.table), size, opened, options, trust_graph, None, endpoint_map, inputs)
        result = _verify_sides(chosen, context, reference, candidate, frameworks, images, settings, track)
    inputs.add(map(Path, images), compare=False)
    return replace(result, digests=inputs.digests)


def _verify_sides(
    arch: Arch,
    context: Context,
    reference: str | None,
    candidate: str | None,
    frameworks: Sequence[str],
    images: Sequence[str | Path],
    settings: Settings,
    track: Track[int],
) -> Verification:
    """Hold what ``candidate`` names, or the checkpoint's ports, against what ``reference`` names, or the original."""
    opened = context.checkpoint
    golden = reference == "golden" or (reference is None and opened is None)
    if golden or candidate == "golden":
        if images:
            raise PorterError("the goldens hold the sample pictures' values only: leave --images out beside golden")
        context = replace(context, size=recorded(arch.name).input_size)
    if reference is None and opened is not None:
        runner, title = _tensorflow(
            arch, context.table, opened, translate(opened, arch, "tf", "tf", context.options), context.trust_graph
        )
        against = Side("tf", title, runner)
    else:
        against = open_side(reference or "golden", replace(context, beside=candidate))
    sides = (
        [open_side(candidate, replace(context, beside=reference or ("golden" if golden else None)))]
        if candidate
        else []
    )
    for framework in frameworks if candidate is None else ():
        source = seeded_checkpoint(recorded(arch.name)) if golden else opened
        if source is None:
            raise PorterError(
                "there are no weights to port: give --checkpoint, or name the other side with --candidate"
            )
        tensors = translate(source, arch, "tf", framework, context.options if not golden else None).as_checkpoint(
            source
        )
        require_framework(arch, framework)
        sides.append(Side(framework, "", network_runner(framework, tensors, context)))
    context.inputs.close()
    paths = None if golden or candidate == "golden" else [Path(image) for image in images] or sample_paths()
    return _held(arch, context.table, against, sides, paths, context.size, settings, track=track)


def verify_golden(
    arch: Arch,
    frameworks: Sequence[str],
    golden: Recorded | None = None,
    settings: Settings | None = None,
    track: Track[int] = untracked,
) -> Verification:
    """Hold ports, filled with seeded weights, against a golden; the model's own unless another is given."""
    golden = golden or recorded(arch.name)
    context = Context(arch, Table.load(arch.table), golden.input_size)
    seeds = seeded_checkpoint(golden)
    sides = []
    for framework in frameworks:
        port = translate(seeds, arch, "tf", framework).as_checkpoint(seeds)
        sides.append(Side(framework, "", network_runner(framework, port, context)))
    reference = golden_side(context, golden)
    return _held(arch, context.table, reference, sides, None, golden.input_size, settings or Settings(), track=track)


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
) -> Verification:
    """Hold ``ports``, each a framework's tensors, against TensorFlow running the original of ``checkpoint``.

    With another ``head`` than the checkpoint's, what is left of the original's outputs is judged.
    """
    context = Context(arch, Table.load(arch.table), arch.input_size)
    paths = [Path(image) for image in images] or sample_paths()
    require_package("tensorflow", "tf")
    for framework in ports:
        require_framework(arch, framework)
    runner, title = _tensorflow(arch, context.table, checkpoint, translation, trust_graph)
    sides = [Side(name, "", network_runner(name, tensors, context)) for name, tensors in ports.items()]
    reference = Side("tf", title, runner)
    return _held(arch, context.table, reference, sides, paths, context.size, settings or Settings(), head, track)


def _held(
    arch: Arch,
    table: Table,
    reference: Side,
    sides: Sequence[Side],
    paths: Sequence[Path] | None,
    size: int,
    settings: Settings,
    head: Head | None = None,
    track: Track[int] = untracked,
) -> Verification:
    """Run ``sides`` and ``reference`` on the pictures at ``paths``, the golden's where that is None."""
    if paths is None:
        from porter.runners.golden import golden_pictures

        pictures = golden_pictures(size)
        inputs = f"sample pictures, centre {size}x{size}, scaled to [-1, 1]; name-seeded weights"
    else:
        pictures = prepare(paths, arch.preprocessing, size)
        count = plural(len(paths), "picture")
        inputs = f"{count}, {arch.preprocessing} preprocessing to {pictures.shape[1]}x{pictures.shape[2]}"
    ports = {side.name: side.runner for side in sides}
    held = compare_runs(ports, reference.runner, pictures, arch, table, settings, head, track)
    shown: tuple[PictureResult, ...] = ()
    if paths is not None and held.reference_logits is not None and (head is None or head.is_original):
        shown = tuple(_pictures(arch, head or Head(), paths, held.reference_logits, held.logits))
    own = preprocessing_drift(arch, paths, pictures, reference.runner, table) if paths is not None else ()
    logits = {} if held.reference_logits is None else {"": held.reference_logits, **held.logits}
    return Verification(
        arch.name,
        reference.title,
        inputs,
        held.reports,
        shown,
        own,
        NAMES.get(reference.name, reference.name),
        {side.name: side.title for side in sides if side.title},
        logits,
    )


def _tensorflow(
    arch: Arch, table: Table, checkpoint: Checkpoint, translation: Translation, trust_graph: bool = False
) -> tuple[Runner, str]:
    """Return the runner of the original, and what it is."""
    from porter.formats.tensorflow import frozen
    from porter.formats.tensorflow.source import load_graph
    from porter.graph.rewrite.freeze import freeze
    from porter.graph.rewrite.prune import prune
    from porter.graph.rewrite.quantized import without_fake_quant
    from porter.runners import tensorflow as tf

    if checkpoint.format == frozen.FORMAT:
        graph, quantized = without_fake_quant(load_graph(checkpoint.path))
        left_out = f" without its {quantized} FakeQuant nodes" if quantized else " itself"
        title = f"TensorFlow {tf.VERSION} running {checkpoint.path.name}{left_out}"
        return tf.TFRunner(graph, table, checkpoint.path, translation.prefix, trust_graph), title
    if checkpoint.opens_as is None:
        raise PorterError(
            f"{checkpoint.path} ({checkpoint.format}) is not a file that TensorFlow opens, and it alone can run the "
            "original: verify against the checkpoint or frozen graph that it was ported from, under its own name"
        )
    golden = recorded(arch.name)
    keys = {name: checkpoint.stored_as.get(taken, taken) for name, taken in translation.taken.items()}
    read = tf.read_variables(checkpoint.opens_as, keys.values())
    values = {
        pair.target: _as_float32(
            checkpoint.path,
            translation.taken[pair.source],
            relayout(read[keys[pair.source]], pair.source_axes, pair.target_axes),
        )
        for pair in table.pairs(translation.source, "tf")
        if pair.source in keys
    }
    head = [pair.target for pair in table.pairs("tf", "tf") if pair.head]
    has_head = all(name in values for name in head)
    classes = values[head[0]].shape[-1] if has_head else 0
    # The recorded graph reshapes its softmax to the recorded number of classes.
    kept = {
        e.name: e.where["tf"]
        for e in table.endpoints
        if (has_head or not e.logits) and (classes == golden.num_classes or not e.softmax)
    }
    graph = prune(load_graph(golden.graph), kept.values(), golden.graph)
    runner = tf.TFRunner(freeze(graph, values), table, golden.graph, judged=list(kept)[-1])
    title = f"TensorFlow {tf.VERSION} running the original graph, filled by its own reader of {checkpoint.path.name}"
    return runner, title


def _as_float32(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return a checkpoint's values in the dtype of the recorded graph; raises PorterError where that rounds them."""
    narrow = values.astype(np.float32)
    if not np.array_equal(narrow.astype(values.dtype), values, equal_nan=True):
        raise PorterError(
            f"{path}: {name} holds {values.dtype} values that float32 does not, in which the original graph computes; "
            "port it without --verify, or verify a frozen graph of it"
        )
    return narrow


def _pictures(
    arch: Arch, head: Head, paths: Sequence[Path], want: np.ndarray, got: Mapping[str, np.ndarray]
) -> Iterator[PictureResult]:
    for number, path in enumerate(paths):
        yield PictureResult(
            path.name,
            _top(arch, head, want[number]),
            {name: _top(arch, head, logits[number]) for name, logits in got.items()},
            {name: _farthest(want[number], logits[number]) for name, logits in got.items()},
            path,
        )


def _top(arch: Arch, head: Head, logits: np.ndarray) -> Labels:
    # Where one side alone has a background class, its head says so by its size.
    shown = Head(drop_background=True) if len(logits) == arch.num_classes - 1 and has_background(arch) else head
    return top_labels(softmax(logits), shown.class_names(arch, len(logits)))


def _farthest(want: np.ndarray, got: np.ndarray) -> float:
    """Return the largest difference; where one side alone has a background class, the others are compared."""
    shared = min(len(want), len(got))
    return float(np.abs(got[-shared:] - want[-shared:]).max())
