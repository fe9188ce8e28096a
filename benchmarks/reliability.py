"""Damaged files: how porter and the usual libraries handle flipped bits and truncated files.

    python benchmarks/reliability.py                      every format, 300 flips and 50 cuts each, as a table
    python benchmarks/reliability.py --flips 20 --cuts 5  fewer
    python benchmarks/reliability.py --form .pth          one format
    python benchmarks/reliability.py --write              the table in docs/reliability.md too; with --form, its rows

Each file holds one small MobileNet with name-seeded weights. Each reader runs in its own process, which may crash or
hang. For each damaged file a reader has one of these outcomes:

- refused: it raises an error.
- identical: it reads the same tensors as from the whole file.
- reported: it reads other values, and reports a tensor as suspicious.
- silent: it reads other values, and reports nothing.
- crash, hang: it ends, or takes too long.

porter's reading is the one of a port: it compares names, shapes and dtypes with the architecture's. Exits with 1 if
porter crashes or hangs, or reads other values from a format that has checksums.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import pages
from porter.catalog.goldens import recorded, seeded_entries

MODEL = "mobilenet_v1_0.25_128"
SEED = 20
PATIENCE = 10
"""Seconds that a reader may take for one file; then it counts as hanging."""
START = 180
"""Seconds that a reader may take for its first file, because it imports its library then."""

OUTCOMES = ("refused", "identical", "reported", "silent", "crash", "hang")
HEAD = (f"| file | read by | tries | {' | '.join(OUTCOMES)} |", f"|---|---|--:|{'--:|' * len(OUTCOMES)}")


def weights() -> dict[str, np.ndarray]:
    """Return the model's variables by their TensorFlow names."""
    return {name: entry.load() for name, entry in seeded_entries(recorded(MODEL)).items()}


# Writers: each writes the weights into a folder and returns the path that its readers open.


def write_v2(folder: Path) -> Path:
    import tensorflow as tf

    tensors = weights()
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model.ckpt"),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return folder / "model.ckpt"


def write_v1(folder: Path) -> Path:
    import tensorflow as tf

    tensors = weights()
    tf.raw_ops.Save(filename=str(folder / "model.v1"), tensor_names=list(tensors), data=list(tensors.values()))
    return folder / "model.v1"


def ported(target: str, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from porter import port
        from porter.verbs.seed import seed

        prefix = folder / "source.ckpt"
        seed(MODEL, prefix)
        port(MODEL, "tf", target, checkpoint=prefix, out=folder / name)
        return folder / name

    return write


def write_npz(folder: Path) -> Path:
    np.savez(folder / "model.npz", **weights())
    return folder / "model.npz"


def write_tensornets(folder: Path) -> Path:
    tensors = weights()
    values = np.empty(len(tensors), object)
    values[:] = list(tensors.values())
    np.savez(folder / "tensornets.npz", names=np.array([f"{name}:0" for name in tensors]), values=values)
    return folder / "tensornets.npz"


def write_frozen(folder: Path) -> Path:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        for name, value in weights().items():
            tf.identity(tf.constant(value, name=name), name=f"{name}/read")
    (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return folder / "frozen.pb"


def write_events(folder: Path) -> Path:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        for name in weights():
            tf.compat.v1.placeholder(tf.float32, name=name)
        writer = tf.compat.v1.summary.FileWriter(str(folder), graph)
        for step in range(400):
            value = tf.compat.v1.Summary.Value(tag="loss", simple_value=1 / (1 + step))
            writer.add_summary(tf.compat.v1.Summary(value=[value]), step)
        writer.close()
    (found,) = folder.glob("events*")
    return found


def write_tflite(folder: Path) -> Path:
    """Convert the model's graph with TensorFlow's converter, which folds batch norms."""
    import tensorflow as tf

    from porter.graph.rewrite.freeze import freeze

    golden = recorded(MODEL)
    frozen = freeze(golden.load_graph(), weights())
    graph = tf.compat.v1.GraphDef.FromString(frozen.SerializeToString())
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    ends = [f"{node.name}:0" for node in graph.node if node.op in ("Placeholder", "Softmax")]
    network = whole.prune(*(whole.graph.get_tensor_by_name(name) for name in ends))
    converted = tf.lite.TFLiteConverter.from_concrete_functions([network]).convert()
    (folder / "model.tflite").write_bytes(converted)
    return folder / "model.tflite"


def write_tfjs(folder: Path) -> Path:
    """Write the weights as TensorFlow.js' converter does: one shard, and a manifest."""
    listed = [{"name": name, "shape": value.shape, "dtype": "float32"} for name, value in weights().items()]
    (folder / "group1-shard1of1.bin").write_bytes(b"".join(value.tobytes() for value in weights().values()))
    manifest = [{"paths": ["group1-shard1of1.bin"], "weights": listed}]
    (folder / "model.json").write_text(json.dumps({"format": "layers-model", "weightsManifest": manifest}))
    return folder / "model.json"


def saved_by_keras(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from porter.verbs.load import load

        load(MODEL, "keras").save(folder / name)
        return folder / name

    return write


# Readers: each returns tensors, or bytes, by name.

SUSPICIOUS: list[str] = []
"""porter's sentences about suspicious tensors in the file that it read last."""


def read_with_porter(path: Path, dialect: str = "tf") -> dict[str, Any]:
    from porter.catalog.models import find_arch
    from porter.formats.open import open_checkpoint
    from porter.mapping.translate import translate

    translation = translate(open_checkpoint(path), find_arch(MODEL), dialect, "tf")
    found = {name: entry.load() for name, entry in translation.entries.items()}
    SUSPICIOUS.extend(translation.suspicious.values())
    return found


def read_wiring_with_porter(path: Path) -> dict[str, Any]:
    """Read the overview of the network that a config describes; porter's notes report faults in it."""
    from porter.verbs.inspect import inspect
    from porter.verbs.inspection import Inspection

    found = inspect(path)
    assert isinstance(found, Inspection)
    SUSPICIOUS.extend([*found.notes, *(found.network.source.notes if found.network else ())])
    return {"network": json.dumps(found.as_dict()["network"] | {"path": ""} if found.network else None)}


def read_events_with_porter(path: Path) -> dict[str, Any]:
    from porter.formats.tensorflow.events import read_events

    found = read_events(path)
    if found.damage:
        raise ValueError(found.damage[0])
    graphs = [source.graph.SerializeToString(deterministic=True) for _, _, source, _ in found.graphs]
    return {"events": repr((found.records, found.tags, found.version)), **{str(n): g for n, g in enumerate(graphs)}}


def read_with_tensorflow(path: Path) -> dict[str, Any]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def read_with_torch(path: Path) -> dict[str, Any]:
    import torch

    return {name: value.numpy() for name, value in torch.load(path, weights_only=True).items()}


def read_with_numpy(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=True) as stored:
        found = dict(stored)
    values = found.pop("values", [])
    return found | {str(number): value for number, value in enumerate(values)}


def read_with_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(path))


def read_with_interpreter(path: Path) -> dict[str, Any]:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    found = {}
    for tensor in interpreter.get_tensor_details():
        try:
            found[f"{tensor['index']} {tensor['name']}"] = interpreter.get_tensor(tensor["index"])
        except ValueError:  # it is computed
            continue
    return found


def read_shard_with_numpy(path: Path) -> dict[str, Any]:
    """Read a manifest's tensors as TensorFlow.js does, one behind the other and whatever follows."""
    (group,) = json.loads(path.read_text())["weightsManifest"]
    raw = b"".join((path.parent / name).read_bytes() for name in group["paths"])
    found, at = {}, 0
    for weight in group["weights"]:
        values = np.frombuffer(raw, weight["dtype"], int(np.prod(weight["shape"])), at)
        found[weight["name"]] = values.reshape(weight["shape"])
        at += values.nbytes
    return found


def read_with_protobuf(path: Path) -> dict[str, Any]:
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    return {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}


_KERAS_MODEL: list[Any] = []


def read_with_keras(path: Path) -> dict[str, Any]:
    from porter.verbs.load import load

    if not _KERAS_MODEL:
        _KERAS_MODEL.append(load(MODEL, "keras"))
    model = _KERAS_MODEL[0]
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    model.load_weights(path)
    return {variable.path: variable.numpy() for variable in model.weights}


def read_wiring_with_keras(path: Path) -> dict[str, Any]:
    import keras

    model = keras.models.load_model(path, compile=False)
    return {"model": model.to_json(), "outputs": repr([(layer.name, layer.output.shape) for layer in model.layers])}


def read_events_with_tensorboard(path: Path) -> dict[str, Any]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return {str(number): event.SerializeToString() for number, event in enumerate(EventFileLoader(str(path)).Load())}


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "porter": read_with_porter,
    "porter from torch": lambda path: read_with_porter(path, "torch"),
    "porter from keras": lambda path: read_with_porter(path, "keras"),
    "porter's events": read_events_with_porter,
    "porter's overview": read_wiring_with_porter,
    "TensorFlow": read_with_tensorflow,
    "torch.load, weights only": read_with_torch,
    "numpy": read_with_numpy,
    "safetensors": read_with_safetensors,
    "TensorFlow's GraphDef": read_with_protobuf,
    "TensorFlow's interpreter": read_with_interpreter,
    "numpy, as TensorFlow.js": read_shard_with_numpy,
    "Keras": read_with_keras,
    "Keras' load_model": read_wiring_with_keras,
    "tensorboard": read_events_with_tensorboard,
}


class Form(NamedTuple):
    """A format: its writer, its readers, and the file to damage.

    ``checked`` formats have checksums. ``forge`` flips a bit of one part, with checksums that fit, as malice would
    write it; such a form is not cut.
    """

    name: str
    write: Callable[[Path], Path]
    reader: str
    peer: str
    checked: bool = True
    damaged: Callable[[Path], Path] = lambda path: path
    forge: Callable[[bytes, int], bytes] | None = None


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _shard(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.data-00000-of-00001")


def _shard_js(model: Path) -> Path:
    return model.with_name("group1-shard1of1.bin")


def forge_index(whole: bytes, bit: int) -> bytes:
    """Return an index with one bit flipped in its only block of entries, and with a checksum that fits."""
    from porter.formats.tensorflow.crc import masked_crc32c
    from porter.formats.tensorflow.sstable import FOOTER, Table

    table = Table(whole)
    ((offset, size),) = [block for _, block in table._blocks]
    damaged = bytearray(_flipped(whole, 8 * offset + bit % (8 * size)))
    end = offset + size + 1  # the checksum covers the byte that states the compression too
    damaged[end : end + 4] = masked_crc32c(bytes(damaged[offset:end])).to_bytes(4, "little")
    return bytes(damaged[: len(whole) - FOOTER]) + whole[-FOOTER:]


def forge_archive(whole: bytes, bit: int) -> bytes:
    """Return a .keras archive with one bit of its config flipped, and with a checksum that fits."""
    forged = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(forged, "w") as written:
        for name in archive.namelist():
            raw = archive.read(name)
            written.writestr(name, _flipped(raw, bit % (8 * len(raw))) if name == "config.json" else raw)
    return forged.getvalue()


def flip_config(whole: bytes, bit: int) -> bytes:
    """Return an .h5 file with one bit of its config flipped; HDF5 has no checksum of attributes."""
    import h5py

    with h5py.File(io.BytesIO(whole)) as file:
        config = str(file.attrs["model_config"]).encode()
    return _flipped(whole, 8 * whole.index(config) + bit % (8 * len(config)))


def _flipped(raw: bytes, bit: int) -> bytes:
    found = bytearray(raw)
    found[bit // 8] ^= 1 << bit % 8
    return bytes(found)


WIRING = ("porter's overview", "Keras' load_model")
FORMS = (
    Form("V2 index", write_v2, "porter", "TensorFlow", damaged=_index),
    Form("V2 index, checksum forged", write_v2, "porter", "TensorFlow", damaged=_index, forge=forge_index),
    Form("V2 data", write_v2, "porter", "TensorFlow", damaged=_shard),
    Form("V1", write_v1, "porter", "TensorFlow"),
    Form("event file", write_events, "porter's events", "tensorboard"),
    Form(".pth", ported("torch", "model.pth"), "porter from torch", "torch.load, weights only"),
    Form(".npz", write_npz, "porter", "numpy"),
    Form(".npz of tensornets", write_tensornets, "porter", "numpy"),
    Form(".keras", ported("keras", "model.keras"), "porter from keras", "Keras"),
    Form(".keras, config", saved_by_keras("model.keras"), *WIRING, checked=False, forge=forge_archive),
    Form(".weights.h5", ported("keras", "model.weights.h5"), "porter from keras", "Keras", checked=False),
    Form(".h5", ported("keras", "model.h5"), "porter from keras", "Keras", checked=False),
    Form(".h5, config", saved_by_keras("model.h5"), *WIRING, checked=False, forge=flip_config),
    Form(".safetensors", ported("torch", "model.safetensors"), "porter from torch", "safetensors", checked=False),
    Form("frozen graph", write_frozen, "porter", "TensorFlow's GraphDef", checked=False),
    Form(".tflite", write_tflite, "porter", "TensorFlow's interpreter", checked=False),
    Form("TensorFlow.js, model.json", write_tfjs, "porter", "numpy, as TensorFlow.js", checked=False),
    Form("TensorFlow.js, shard", write_tfjs, "porter", "numpy, as TensorFlow.js", checked=False, damaged=_shard_js),
)


def damages(
    whole: bytes, flips: int, cuts: int, forge: Callable[[bytes, int], bytes] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield each damage, as ``bit N`` or ``cut at N``, with the damaged bytes."""
    noise = random.Random(SEED)
    for bit in noise.sample(range(8 * len(whole)), flips):
        yield f"bit {bit}", (forge or _flipped)(whole, bit)
    if forge is None:
        for size in noise.sample(range(len(whole)), cuts):
            yield f"cut at {size}", whole[:size]


def digest(found: Mapping[str, Any]) -> str:
    """Return one SHA-256 over all names, dtypes, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(found):
        value = found[name]
        kind = (str(value.dtype), value.shape) if isinstance(value, np.ndarray) else ()
        if isinstance(value, np.ndarray):
            raw = value.tobytes()
        else:
            raw = value if isinstance(value, bytes) else value.encode()
        total.update(repr((name, kind, len(raw))).encode() + raw)
    return total.hexdigest()


def serve(reader: str) -> None:
    """Read each file that a line of stdin names, and answer with its digest, or with the reason to refuse it."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print to stdout too, which must not mix with the answers
    for line in sys.stdin:
        SUSPICIOUS.clear()
        try:
            found = digest(READERS[reader](Path(line.strip())))
            print("read", found, *SUSPICIOUS, file=answers)
        except Exception as error:
            print("refused", type(error).__name__, " ".join(str(error).split()), file=answers)


class Reader:
    """A reader in its own process, which is started again after a crash or a hang."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> str:
        """Return ``read DIGEST`` and what the reader reports, ``refused WHY``, ``crash`` or ``hang``."""
        patience = PATIENCE if self.process else START
        if self.process is None:
            command = [sys.executable, __file__, "--serve", self.name]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline() if select.select([self.process.stdout], [], [], patience)[0] else None
        if answer:
            return answer.strip()
        self.close()
        return "hang" if answer is None else "crash"

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                pipe.close()
            self.process = None


def drill(form: Form, reader: str, folder: Path, flips: int, cuts: int) -> tuple[Counter[str], list[str]]:
    """Return the number of each outcome, and a line for each try: outcome, damage and the reader's answer."""
    opened = form.write(folder)
    path = form.damaged(opened)
    whole = path.read_bytes()
    found: Counter[str] = Counter()
    lines: list[str] = []
    one = Reader(reader)
    try:
        honest = one.read(opened)
        if not honest.startswith("read"):
            raise RuntimeError(f"{reader} does not read a whole {form.name}: {honest}")
        for what, damaged in damages(whole, flips, cuts, form.forge):
            path.unlink()  # the reader may still map the older file into memory
            path.write_bytes(damaged)
            answer = one.read(opened)
            outcome = answer.split()[0]
            if outcome == "read":
                same = answer.split()[:2] == honest.split()[:2]
                outcome = "identical" if same else "reported" if len(answer.split()) > 2 else "silent"
            found[outcome] += 1
            lines.append(f"{outcome} {what}: {answer}")
    finally:
        one.close()
    return found, lines


def merged(rows: list[str]) -> list[str]:
    """Return ``rows`` and the page's rows of the forms that did not run, in the order of FORMS."""
    ran = {_form(row) for row in rows}
    kept = [row for row in pages.written("reliability.md", "reliability.py")[len(HEAD) :] if _form(row) not in ran]
    order = [form.name for form in FORMS]
    return sorted([*rows, *kept], key=lambda row: order.index(_form(row)))


def _form(row: str) -> str:
    return row.split(" | ")[0].removeprefix("| ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--form", action="append", choices=[form.name for form in FORMS])
    parser.add_argument("--porter-only", action="store_true", help="leave out the other libraries")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    parser.add_argument("--verbose", action="store_true", help="list every try with its outcome")
    parser.add_argument("--serve", metavar="READER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    failed = 0
    print(*HEAD, sep="\n")
    rows = []
    for form in FORMS:
        if options.form and form.name not in options.form:
            continue
        for reader in (form.reader,) if options.porter_only else (form.reader, form.peer):
            with tempfile.TemporaryDirectory() as folder:
                found, lines = drill(form, reader, Path(folder), options.flips, options.cuts)
            shown = "porter" if reader == form.reader else reader
            counts = " | ".join(str(found[outcome]) for outcome in OUTCOMES)
            rows.append(f"| {form.name} | {shown} | {found.total()} | {counts} |")
            print(rows[-1], flush=True)
            if options.verbose:
                print(*lines, sep="\n")
            if reader == form.reader:
                failed += found["crash"] + found["hang"] + (found["silent"] + found["reported"] if form.checked else 0)
    if options.write:
        pages.write("reliability.md", "reliability.py", [*HEAD, *merged(rows)])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
