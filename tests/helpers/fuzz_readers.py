"""Fuzz targets: every reader takes damaged bytes and may raise only porter's errors.

    python tests/helpers/fuzz_readers.py --list
    python tests/helpers/fuzz_readers.py TARGET [--seconds 300]     coverage-guided, where atheris is installed

Every finding becomes a test. test_fuzz.py mutates the same seeds at random, for a moment, in the suite.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from helpers import tables

WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


class Target(NamedTuple):
    """A reader: honest inputs to begin with, and a function that reads one input from a folder."""

    seeds: Callable[[], list[bytes]]
    read: Callable[[Path, bytes], object]


@cache
def folder() -> Path:
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return Path(tempfile.mkdtemp(prefix="fuzz", dir=place))


def write(name: str, raw: bytes) -> Path:
    """Write a file anew: the reader of the last one may have mapped it."""
    path = folder() / name
    path.unlink(missing_ok=True)
    path.write_bytes(raw)
    return path


def load(path: Path) -> None:
    """Read everything, and check that shapes and dtypes are as promised."""
    from porter.errors import PorterError
    from porter.formats.open import open_checkpoint

    checkpoint = open_checkpoint(path)
    for name, entry in checkpoint.entries.items():
        if np.prod([float(side) for side in entry.shape]) > 1 << 24:
            continue  # a constant that fills its shape takes no memory before it is used
        try:
            value = checkpoint[name]
        except PorterError:
            continue
        assert (value.shape, value.dtype) == (entry.shape, entry.dtype), name
    for check in checkpoint.checks.values():
        with contextlib.suppress(PorterError):
            check()


def as_file(name: str) -> Callable[[Path, bytes], object]:
    return lambda _, raw: load(write(name, raw))


# Seeds, and readers that put bytes behind valid checksums.


def bundle_pairs() -> list[tuple[bytes, bytes]]:
    raw = WEIGHTS.tobytes()
    return [(b"", tables.header()), (b"a/w", tables.record(raw, (2, 3))), (b"b", tables.record(raw, (6,), offset=24))]


def bundle_seeds() -> list[bytes]:
    return [tables.table(bundle_pairs()), tables.table(bundle_pairs(), snappy=True)]


def read_bundle(_: Path, raw: bytes) -> None:
    write("model.data-00000-of-00001", WEIGHTS.tobytes() * 2)
    load(write("model.index", raw))


def read_block(_: Path, raw: bytes) -> None:
    read_bundle(_, tables.stack([tables.Block(b"\xff" * 8, raw)]))


def v1_pairs() -> list[tuple[bytes, bytes]]:
    from porter.formats.tensorflow.slices import slice_key

    extent = tables.message(1, b"")
    box = extent + extent
    tensor = tables.message(5, WEIGHTS.tobytes())
    held = tables.message(1, b"w") + tables.message(2, box) + tables.message(3, tensor)
    shape = b"".join(tables.message(2, tables.number(1, side)) for side in WEIGHTS.shape)
    meta = tables.message(1, b"w") + tables.message(2, shape) + tables.number(3, 1) + tables.message(4, box)
    first = tables.message(1, tables.message(1, meta))
    return [(b"", first), (slice_key("w", ((0, -1), (0, -1))), tables.message(2, held))]


def read_v1_block(_: Path, raw: bytes) -> None:
    load(write("model.v1", tables.stack([tables.Block(b"\xff" * 8, raw)])))


def object_graph() -> bytes:
    child = tables.message(1, tables.number(1, 1) + tables.message(2, b"w"))
    value = tables.message(
        2, tables.message(1, b"VARIABLE_VALUE") + tables.message(2, b"net/w") + tables.message(3, b"k")
    )
    return tables.message(1, child) + tables.message(1, value)


def read_object_graph(_: Path, raw: bytes) -> None:
    from porter.formats.tensorflow.objects import read_objects

    read_objects(raw)


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


def saved(write: Callable[[Any], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def pth_seeds() -> list[bytes]:
    import torch

    state = {"w": torch.from_numpy(WEIGHTS), "b": torch.zeros(2, dtype=torch.bfloat16)}
    return [saved(lambda file: torch.save(state, file)), *old_pth_seeds()]


def old_pth_seeds() -> list[bytes]:
    import torch

    state = {"w": torch.from_numpy(WEIGHTS)}
    return [saved(lambda file: torch.save(state, file, _use_new_zipfile_serialization=False))]


def pth_pickles() -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(pth_seeds()[0])) as archive:
        return [archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")]


def read_pth_pickle(_: Path, raw: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(pth_seeds()[0])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    load(write("m.pth", zip_of(**members | {pickled: raw})))


def row() -> np.ndarray:
    values = np.empty(2, object)
    values[:] = [WEIGHTS, np.float64([1, 2])]
    return values


def npz_seeds() -> list[bytes]:
    named = {"names": np.array(["a:0", "b:0"]), "values": row()}
    plain = {"w": WEIGHTS, "b": WEIGHTS[0].astype(">f8")}
    return [
        saved(lambda f: np.savez(f, **plain)),
        saved(lambda f: np.savez(f, **named)),
        saved(lambda f: np.savez_compressed(f, **plain)),
    ]


def npy_seeds() -> list[bytes]:
    arrays = (WEIGHTS, row(), np.array(["a"]), np.asfortranarray(WEIGHTS))
    return [saved(partial(np.save, arr=array)) for array in arrays]


def read_npy(_: Path, raw: bytes) -> None:
    load(write("m.npz", zip_of(**{"w.npy": raw})))


def pickle_seeds() -> list[bytes]:
    return [pickle.dumps(row(), protocol=protocol) for protocol in (2, 4)]


def read_pickle(_: Path, raw: bytes) -> None:
    from porter.formats.numpy.pickled import unpickle_arrays

    for array in unpickle_arrays(memoryview(raw)):
        assert array.values().shape == array.shape


def h5_seeds() -> list[bytes]:
    import h5py

    def numbered(file: Any) -> None:
        with h5py.File(file, "w") as opened:
            stored = opened.create_group("layers/conv2d/vars")
            stored.attrs["name"] = "conv1"
            stored["0"] = WEIGHTS

    def legacy(file: Any) -> None:
        with h5py.File(file, "w") as opened:
            opened.attrs["layer_names"] = [b"conv1"]
            opened.create_group("conv1").attrs["weight_names"] = [b"k:0"]
            opened["conv1"].create_dataset("k:0", data=WEIGHTS, chunks=(1, 3), compression="gzip")

    return [saved(numbered), saved(legacy)]


CONFIG = b'{"class_name": "Functional", "config": {"layers": [{"class_name": "Conv2D", "config": {"name": "conv1"}}]}}'


def read_keras_config(_: Path, raw: bytes) -> None:
    load(write("m.keras", zip_of(**{"config.json": raw, "model.weights.h5": h5_seeds()[0]})))


WIRED = {
    "class_name": "Functional",
    "config": {
        "name": "net",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 8, 8, 3]}, "inbound_nodes": []},
            {"class_name": "Conv2D", "config": {"name": "conv1", "filters": 2, "kernel_size": [3, 3], "strides": 2,
             "activation": "relu"}, "inbound_nodes": [[["x", 0, 0, {}]]]},
            {"class_name": "Flatten", "config": {"name": "flat"}, "inbound_nodes": [
             {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["conv1", 0, 0]}}]}]},
            {"class_name": "Mine", "config": {"name": "mine"}, "inbound_nodes": [[["flat", 0, 0]]]},
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["mine", 0, 0]],
    },
}  # fmt: skip


def overview(path: Path) -> None:
    """Describe a file as `port inspect` does: its shapes, layers and blocks, as JSON and as text."""
    from rich.console import Console

    import porter
    from porter.files.json import to_json
    from porter.render.inspection_output import show_inspection

    found = porter.inspect(path)
    to_json(found.as_dict())
    show_inspection(Console(file=io.StringIO(), markup=False, highlight=False), found, scopes=True)


SEQUENCE = {
    "class_name": "Sequential",
    "config": {
        "name": "net",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 16, 4], "dtype": "float32"}},
            {"class_name": "Conv1D", "config": {"name": "c", "filters": 8, "kernel_size": [3], "padding": "causal"}},
            {"class_name": "Bidirectional", "config": {"name": "b", "merge_mode": "concat", "layer": {
             "class_name": "GRU", "config": {"name": "g", "units": 4, "return_sequences": True}}}},
            {"class_name": "MultiHeadAttention", "config": {"name": "a", "num_heads": 2, "key_dim": 3}},
            {"class_name": "MaxPooling1D", "config": {"name": "p", "pool_size": [2]}},
            {"class_name": "Cropping1D", "config": {"name": "r", "cropping": [1, 0]}},
            {"class_name": "LSTM", "config": {"name": "l", "units": 4}},
            {"class_name": "Dense", "config": {"name": "d", "units": 2, "activation": "swish"}},
        ],
    },
}  # fmt: skip


def wiring_seeds() -> list[bytes]:
    return [json.dumps(config).encode() for config in (WIRED, SEQUENCE)]


def read_wiring(_: Path, raw: bytes) -> None:
    overview(write("m.keras", zip_of(**{"config.json": raw, "model.weights.h5": h5_seeds()[0]})))


def read_wiring_of_h5(_: Path, raw: bytes) -> None:
    import h5py

    with h5py.File(write("m.h5", h5_seeds()[1]), "a") as file:
        file.attrs["model_config"] = np.bytes_(raw)
    overview(folder() / "m.h5")


def lite_seeds() -> list[bytes]:
    from helpers.foreign import lite_loop, lite_network

    return [lite_network(), lite_loop()]


def read_lite(_: Path, raw: bytes) -> None:
    path = write("m.tflite", raw)
    overview(path)
    load(path)


def tfjs_seeds() -> list[bytes]:
    """Return a graph-model, a layers-model and a manifest, whose shards `read_tfjs` writes."""
    from google.protobuf import json_format

    shards = {"paths": ["a.bin", "b.bin"], "weights": [
        {"name": "w", "shape": [3, 3, 3, 2], "dtype": "float32",
         "quantization": {"dtype": "uint8", "min": -1, "scale": 0.1}},
        {"name": "b", "shape": [2], "dtype": "float32"},
        {"name": "s", "shape": [1], "dtype": "string"},
    ]}  # fmt: skip
    graph = json_format.MessageToDict(graph_of())
    signature = {"inputs": {"x": {"name": "image:0"}}, "outputs": {"y": {"name": "add:0"}}}
    whole = {"modelTopology": graph, "signature": signature, "weightsManifest": [shards]}
    layers = {"modelTopology": {"model_config": WIRED}, "weightsManifest": [shards]}
    return [json.dumps(content).encode() for content in (whole, layers, [shards])]


def read_tfjs(_: Path, raw: bytes) -> None:
    write("a.bin", bytes(range(30)))
    write("b.bin", bytes(24 + 8) + (2).to_bytes(4, "little") + b"hi")
    path = write("model.json", raw)
    load(path)
    if b"modelTopology" in raw:
        overview(path)


def safetensors_seeds() -> list[bytes]:
    from safetensors.numpy import save

    return [save({"w": WEIGHTS, "b": WEIGHTS[0].astype(np.float16)})]


SHARD_INDEX = b'{"metadata": {"total_size": 36}, "weight_map": {"w": "shard.safetensors", "b": "shard.safetensors"}}'


def read_shard_index(_: Path, raw: bytes) -> None:
    write("shard.safetensors", safetensors_seeds()[0])
    load(write("model.safetensors.index.json", raw))


def sealed_header() -> bytes:
    """Return a header of porter's, without its seal."""
    from porter.files.seals import BLANK, SEAL, TENSORS

    facts = {TENSORS: json.dumps({"w": hashlib.sha256(WEIGHTS.tobytes()).hexdigest()}), SEAL: BLANK}
    place = {"dtype": "F32", "shape": list(WEIGHTS.shape), "data_offsets": [0, WEIGHTS.nbytes]}
    return json.dumps({"__metadata__": facts, "w": place}).encode()


def read_sealed_header(_: Path, raw: bytes) -> None:
    from porter.files.seals import sealed
    from porter.verbs.check import check

    check(write("m.safetensors", sealed(len(raw).to_bytes(8, "little") + raw) + WEIGHTS.tobytes()))


def sealed_record() -> bytes:
    """Return a record of porter's, without its seal."""
    from porter.files.seals import BLANK, FILES, SEAL, TENSORS

    digests = {FILES: {"m.h5": "0" * 64, "more.txt": "1" * 64}, TENSORS: {"conv1/kernel": "2" * 64}}
    return json.dumps({"model": "nasnet_cifar", "versions": {"porter": "1"}, **digests, SEAL: BLANK}).encode()


def read_sealed_record(_: Path, raw: bytes) -> None:
    from porter.files.seals import sealed
    from porter.verbs.check import check

    write("m.h5.json", sealed(raw))
    check(write("m.h5", h5_seeds()[0]))


def graph_of() -> Any:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    image = graph.node.add(name="image", op="Placeholder")
    image.attr["dtype"].type = 1
    for name, side in (("w", (3, 3, 3, 2)), ("b", (2,))):
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = node.attr["value"].tensor.dtype = 1
        for size in side:
            node.attr["value"].tensor.tensor_shape.dim.add(size=size)
        node.attr["value"].tensor.float_val.append(0.5)
        graph.node.add(name=f"{name}/read", op="Identity", input=[name])
    conv = graph.node.add(name="conv", op="Conv2D", input=["image", "w/read"])
    conv.attr["strides"].list.i.extend([1, 2, 2, 1])
    conv.attr["padding"].s = b"SAME"
    graph.node.add(name="add", op="BiasAdd", input=["conv", "b/read"])
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="x", type=1)
    function.signature.output_arg.add(name="y", type=1)
    function.node_def.add(name="z", op="Relu", input=["x"])
    function.ret["y"] = "z:activations:0"
    graph.node.add(name="call", op="f", input=["add"])
    return graph


def graph_seeds() -> list[bytes]:
    from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

    graph = graph_of()
    meta = MetaGraphDef(graph_def=graph)
    meta.meta_info_def.tags.append("serve")
    raw = meta.SerializeToString()
    return [graph.SerializeToString(), raw, tables.number(1, 1) + tables.message(2, raw)]


def saved_seeds() -> list[bytes]:
    """Return a SavedModel whose signature names its output, and one with two graphs and two signatures."""
    from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

    meta = MetaGraphDef(graph_def=graph_of())
    meta.meta_info_def.tags.append("serve")
    meta.meta_info_def.tensorflow_version = "2.15.0"
    for name, end in (("serving_default", "call"), ("features", "add")):
        signature = meta.signature_def[name]
        signature.inputs["x"].name, signature.outputs["contour"].name = "image:0", f"{end}:0"
    one = tables.message(2, meta.SerializeToString())
    meta.meta_info_def.tags.append("train")
    return [tables.number(1, 1) + one, tables.number(1, 1) + one + tables.message(2, meta.SerializeToString())]


def in_a_folder(*marks: str) -> Callable[[Path, bytes], object]:
    """Return a reader of a SavedModel's folder with these files beside it."""

    def read(_: Path, raw: bytes) -> None:
        name = "-".join(["saved", *marks])
        (folder() / name).mkdir(exist_ok=True)
        for mark in marks:
            (folder() / name / mark).write_bytes(b"\x08\x03")
        write(f"{name}/saved_model.pb", raw)
        overview(folder() / name)

    return read


def loop_seeds() -> list[bytes]:
    """Return a graph whose While runs three steps, and whose If a placeholder decides."""
    graph = graph_of()
    going, step = graph.library.function.add(), graph.library.function.add()
    for function, name, outputs in ((going, "going", ("p",)), (step, "step", ("j", "z"))):
        function.signature.name = name
        for argument in ("i", "y"):
            function.signature.input_arg.add(name=argument, type=1)
        for output in outputs:
            function.signature.output_arg.add(name=output, type=1)
    for function, name, values in ((going, "three", 3), (step, "one", 1)):
        const = function.node_def.add(name=name, op="Const")
        const.attr["dtype"].type = const.attr["value"].tensor.dtype = 3
        const.attr["value"].tensor.int_val.append(values)
    going.node_def.add(name="less", op="Less", input=["i", "three:output:0"])
    going.ret["p"] = "less:z:0"
    step.node_def.add(name="next", op="AddV2", input=["i", "one:output:0"])
    step.node_def.add(name="tanh", op="Tanh", input=["y"])
    step.ret["j"], step.ret["z"] = "next:z:0", "tanh:y:0"
    start = graph.node.add(name="start", op="Const")
    start.attr["dtype"].type = start.attr["value"].tensor.dtype = 3
    start.attr["value"].tensor.int_val.append(0)
    loop = graph.node.add(name="loop", op="While", input=["start", "call"])
    loop.attr["cond"].func.name, loop.attr["body"].func.name = "going", "step"
    trains = graph.node.add(name="is_training", op="Placeholder")
    trains.attr["dtype"].type = 10
    trains.attr["shape"].shape.SetInParent()
    choice = graph.node.add(name="choice", op="StatelessIf", input=["is_training", "loop:1"])
    choice.attr["then_branch"].func.name = choice.attr["else_branch"].func.name = "f"
    return [graph.SerializeToString()]


def read_graph(_: Path, raw: bytes) -> None:
    path = write("graph.pb", raw)
    overview(path)
    load(path)


def text_seeds() -> list[bytes]:
    from google.protobuf import text_format

    return [text_format.MessageToString(graph_of()).encode()]


def read_text(_: Path, raw: bytes) -> None:
    overview(write("graph.pbtxt", raw))


def event_payloads() -> list[bytes]:
    from tensorboard.compat.proto.event_pb2 import Event

    graph = Event(wall_time=1, graph_def=graph_of().SerializeToString())
    step = Event(wall_time=2, step=3)
    step.summary.value.add(tag="loss", simple_value=0.5)
    return [graph.SerializeToString(), step.SerializeToString()]


def event_seeds() -> list[bytes]:
    from porter.formats.tensorflow.tfrecord import record

    return [b"".join(map(record, event_payloads()))]


def read_events(_: Path, raw: bytes) -> None:
    from porter.formats.tensorflow.events import newest_graph, read_logs

    path = write("events.out.tfevents.1.host", raw)
    read_logs(path)
    overview(path)
    newest_graph(path)


def read_event(_: Path, raw: bytes) -> None:
    from porter.formats.tensorflow.tfrecord import record

    read_events(_, record(raw))


def tar_seeds() -> list[bytes]:
    def fill(file: Any, mode: str) -> None:
        with tarfile.open(fileobj=file, mode=mode) as archive:
            for name in ("./a/model.ckpt.index", "./a/info.txt"):
                info = tarfile.TarInfo(name)
                info.size = 3
                archive.addfile(info, io.BytesIO(b"abc"))

    return [saved(lambda file: fill(file, "w")), saved(lambda file: fill(file, "w:gz"))]


def read_tar(_: Path, raw: bytes) -> None:
    from porter.catalog.unpack import unpack

    out = folder() / "out"
    out.mkdir(exist_ok=True)
    unpack(write("m.tar", raw), "model.ckpt", out)


def read_state(_: Path, raw: bytes) -> None:
    load(write("checkpoint", raw))


TARGETS = {
    "bundle": Target(bundle_seeds, read_bundle),
    "bundle under checksums": Target(lambda: [tables.block(bundle_pairs())], read_block),
    "v1": Target(lambda: [tables.table(v1_pairs())], as_file("model.v1")),
    "v1 under checksums": Target(lambda: [tables.block(v1_pairs())], read_v1_block),
    "object graph": Target(lambda: [object_graph()], read_object_graph),
    "pth": Target(pth_seeds, as_file("m.pth")),
    "pth under checksums": Target(pth_pickles, read_pth_pickle),
    "npz": Target(npz_seeds, as_file("m.npz")),
    "npz under checksums": Target(npy_seeds, read_npy),
    "pickle": Target(pickle_seeds, read_pickle),
    "h5": Target(h5_seeds, as_file("m.h5")),
    "keras config": Target(lambda: [CONFIG], read_keras_config),
    "keras wiring": Target(wiring_seeds, read_wiring),
    "keras wiring in h5": Target(wiring_seeds, read_wiring_of_h5),
    "tflite": Target(lite_seeds, read_lite),
    "tfjs": Target(tfjs_seeds, read_tfjs),
    "safetensors": Target(safetensors_seeds, as_file("m.safetensors")),
    "index of several files": Target(lambda: [SHARD_INDEX], read_shard_index),
    "digests under their seal": Target(lambda: [sealed_header()], read_sealed_header),
    "record under its seal": Target(lambda: [sealed_record()], read_sealed_record),
    "graph": Target(graph_seeds, read_graph),
    "saved model": Target(saved_seeds, in_a_folder()),
    "hub module": Target(saved_seeds, in_a_folder("tfhub_module.pb")),
    "loops and conditions": Target(loop_seeds, read_graph),
    "graph as text": Target(text_seeds, read_text),
    "events": Target(event_seeds, read_events),
    "events under checksums": Target(event_payloads, read_event),
    "tar": Target(tar_seeds, read_tar),
    "state file": Target(lambda: [b'model_checkpoint_path: "model"\n'], read_state),
}


def feed(target: Target, raw: bytes) -> str | None:
    """Read ``raw``; return the message if porter refuses it. Any other exception is a finding."""
    from porter.errors import PorterError

    try:
        target.read(folder(), raw)
    except PorterError as error:
        return str(error)
    return None


def mutated(seeds: list[bytes], noise: random.Random) -> bytes:
    """Return a seed with a few bytes flipped, set, cut out, repeated or taken from another seed."""
    raw = bytearray(noise.choice(seeds))
    for _ in range(noise.choice((1, 1, 2, 4, 16))):
        if not raw:
            break
        at, size = noise.randrange(len(raw)), noise.randrange(1, 9)
        other = noise.choice(seeds)
        match noise.randrange(6):
            case 0:
                raw[at] ^= 1 << noise.randrange(8)
            case 1:
                raw[at] = noise.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                raw[at : at + size] = noise.choice((b"\xff", b"\0", b"\x80")) * size
            case 3:
                del raw[at : at + noise.randrange(1, 65)]
            case 4:
                raw[at:at] = raw[at : at + 8 * size]
            case 5:
                start = noise.randrange(len(other))
                raw[at : at + size] = other[start : start + size]
    return bytes(raw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list or not options.target:
        print(*TARGETS, sep="\n")
        return
    import atheris

    with atheris.instrument_imports(include=["porter"]):
        pass
    target = TARGETS[options.target]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={options.seconds}", "-rss_limit_mb=3000", "-timeout=20", "-max_len=65536"]
        atheris.Setup([sys.argv[0], corpus, *limits, "-print_final_stats=1"], lambda raw: feed(target, raw) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
