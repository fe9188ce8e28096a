"""Writes a folder of malicious files, and reads each like a user in a process that watches its effects.

    python tests/helpers/hostile.py build FOLDER    writes them
    python tests/helpers/hostile.py read FOLDER     reads them; prints one line of JSON for each verb and file

Every payload would write ``outside/`` beside the files. Audit hooks see what Python does: execution of foreign code,
opened files, sockets, processes; what C libraries open is seen by the canaries' own bytes.
"""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import tempfile
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helpers import tables
from helpers.places import ROOT
from porter.formats.tensorflow.tfrecord import record

MODEL = "mobilenet_v1_0.25_128"
CANARY = b"the canary sings"


class Hostile(NamedTuple):
    """A malicious file: its name and writer, a part of the error, and the verb that must raise it."""

    name: str
    write: Callable[[Path], None]
    why: str
    verb: str = "port"


# Pickles.


def calling(module: str, name: str, argument: str, protocol: int = 2) -> bytes:
    """Return a pickle that calls a function with a string."""
    text = argument.encode()
    call = f"c{module}\n{name}\n".encode() + b"X" + struct.pack("<I", len(text)) + text + b"\x85R"
    return bytes([0x80, protocol]) + b"}X\x01\0\0\0w" + call + b"s."


def touch(path: Path) -> str:
    return f"touch {path.parent / 'outside' / 'touched'}"


def python(path: Path) -> str:
    return f"open({str(path.parent / 'outside' / 'touched')!r}, 'w').close()"


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], packed: bool = False) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else 0) as archive:
        warnings.simplefilter("ignore")
        for member, raw in members:
            archive.writestr(member, raw)


def pth(pickled: Callable[[Path], bytes], *more: tuple[str | zipfile.ZipInfo, bytes]) -> Callable[[Path], None]:
    rest = (("m/version", b"3\n"), ("m/byteorder", b"little"), *more)
    return lambda path: zipped(path, ("m/data.pkl", pickled(path)), *rest)


def member(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = kind << 16
    return info


EMPTY = b"\x80\x02}."


def packed_bomb(path: Path) -> None:
    zipped(path, ("m/data.pkl", EMPTY), ("m/data/0", bytes(1 << 29)), packed=True)


# numpy archives.


def npy(shape: str, descr: str, values: bytes) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + values


def npz(*members: tuple[str | zipfile.ZipInfo, bytes], packed: bool = False) -> Callable[[Path], None]:
    return lambda path: zipped(path, *members, packed=packed)


ONE = npy("(1,)", "<f4", bytes(4))


def npz_pickle(pickled: Callable[[Path], bytes]) -> Callable[[Path], None]:
    return lambda path: zipped(path, ("values.npy", npy("(1,)", "|O", pickled(path))))


# Keras' files.


def numbered(file: Any, name: str = "conv1") -> Any:
    stored = file.create_group("layers/conv2d/vars")
    stored.attrs["name"] = name
    return stored


def h5(fill: Callable[[Any, Path], None]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            fill(numbered(file), path)

    return write


def h5_external_link(group: Any, path: Path) -> None:
    import h5py

    group["0"] = h5py.ExternalLink(path.parent / "outside" / "secret.h5", "kernel")


def h5_external_storage(group: Any, path: Path) -> None:
    group.create_dataset("0", (4,), "f4", external=[(str(path.parent / "outside" / "canary"), 0, 16)])


def h5_virtual(group: Any, path: Path) -> None:
    import h5py

    layout = h5py.VirtualLayout((4,), "f4")
    layout[...] = h5py.VirtualSource(path.parent / "outside" / "secret.h5", "kernel", (4,))
    group.create_virtual_dataset("0", layout)


def h5_claims(group: Any, path: Path) -> None:
    group.create_dataset("0", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")


def h5_packed(group: Any, path: Path) -> None:
    group.create_dataset("0", data=np.zeros(1 << 27, "u1"), chunks=(1 << 24,), compression="gzip")


def h5_chunk(group: Any, path: Path) -> None:
    """One chunk of 1 GiB for a dataset of four values."""
    shape, chunk = (1, 1, 1, 4), (1, 1, 1, 1 << 28)
    dataset = group.create_dataset("0", shape, "f4", chunks=chunk, maxshape=(1, 1, 1, None), compression="gzip")
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 26)) for _ in range(1 << 4)) + packer.flush()
    dataset.id.write_direct_chunk((0, 0, 0, 0), packed)


def h5_text(path: Path) -> None:
    """A name that claims 4 GiB."""
    h5(lambda group, _: group.create_dataset("0", data=np.zeros(4, "f4")))(path)
    raw = path.read_bytes()
    text = len("conv1").to_bytes(4, "little") + raw.index(b"GCOL").to_bytes(8, "little")
    assert raw.count(text) == 1
    path.write_bytes(raw.replace(text, b"\xf0\xff\xff\xff" + text[4:]))


LAMBDA = {
    "class_name": "Functional",
    "config": {"layers": [{"class_name": "Lambda", "config": {"name": "run", "function": {"code": "4wEA"}}}]},
}  # fmt: skip


def keras(config: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import h5py

        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            numbered(file)["0"] = np.zeros(4, "f4")
        zipped(path, ("config.json", config.encode()), ("model.weights.h5", buffer.getvalue()))

    return write


def models_in_models() -> str:
    """Return a config of forty models that call each other twice: a trillion layers."""
    image = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 8, 8, 3]}}
    made: dict[str, Any] = {"class_name": "ReLU", "config": {"name": "m"}}
    for _ in range(40):
        calls = [[["x", 0, 0, {}]], [["m", 0, 0, {}]]]
        layers = [image | {"inbound_nodes": []}, made | {"name": "m", "inbound_nodes": calls}]
        ends = {"input_layers": [["x", 0, 0]], "output_layers": [["m", 1, 0]]}
        made = {"class_name": "Functional", "config": {"name": "m", "layers": layers, **ends}}
    return json.dumps(made)


def h5_models(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = models_in_models().encode()
        file.attrs["layer_names"] = [b"m"]
        file.create_group("m").attrs["weight_names"] = []


def hub_module(write: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a writer of a TF-Hub module's folder with the graph that ``write`` writes."""

    def module(path: Path) -> None:
        path.mkdir()
        (path / "tfhub_module.pb").write_bytes(b"\x08\x03")
        write(path / "saved_model.pb")

    return module


def h5_lambda(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(LAMBDA).encode()
        file.attrs["layer_names"] = []


# Graphs.


def frozen() -> Any:
    """Return the model's own graph, with its weights, as a GraphDef."""
    from porter.catalog.goldens import recorded, seeded_checkpoint
    from porter.formats.tensorflow.source import load_graph
    from porter.graph.rewrite.freeze import freeze

    golden = recorded(MODEL)
    return freeze(load_graph(golden.graph), dict(seeded_checkpoint(golden)))


def add_write(graph: Any, path: Path, op: str) -> str:
    """Add a node of a malicious op that would write a file; return its name."""
    target = str(path.parent / "outside" / "touched").encode()
    for name, text in (("target", target), ("text", b"written")):
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = 7
        node.attr["value"].tensor.dtype = 7
        node.attr["value"].tensor.string_val.append(text)
        node.attr["value"].tensor.tensor_shape.SetInParent()
    graph.node.add(name="payload", op=op, input=["target", "text"])
    return "payload"


def graph_on_the_way(op: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        graph = frozen()
        payload = add_write(graph, path, op)
        for node in graph.node:
            if node.op == "Conv2D":
                node.input.append(f"^{payload}")
        path.write_bytes(graph.SerializeToString())

    return write


def saved_model(path: Path) -> None:
    """A SavedModel whose main_op writes a file when TensorFlow loads it."""
    from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

    from porter.verbs.seed import seed

    meta = MetaGraphDef(graph_def=frozen())
    meta.meta_info_def.tags.append("serve")
    payload = add_write(meta.graph_def, path, "WriteFile")
    meta.collection_def["saved_model_main_op"].node_list.value.append(payload)
    path.mkdir()
    raw = meta.SerializeToString()
    (path / "saved_model.pb").write_bytes(tables.number(1, 1) + tables.message(2, raw))
    (path / "variables").mkdir()
    seed(MODEL, path / "variables" / "variables")


def nested(depth: int) -> bytes:
    raw = b""
    for _ in range(depth):
        raw = tables.message(1, raw + b" ")
    return raw


def splat(path: Path) -> None:
    """Fifty-six bytes of a constant that fills 32 GiB."""
    shape = tables.message(2, tables.number(1, 1 << 33))
    tensor = tables.number(1, 1) + tables.message(2, shape) + tables.message(5, struct.pack("<2f", 1, 2))
    value = tables.message(1, b"value") + tables.message(2, tables.message(8, tensor))
    name = "MobilenetV1/Conv2d_0/weights"
    node = tables.message(1, name.encode()) + tables.message(2, b"Const") + tables.message(5, value)
    path.write_bytes(tables.message(1, node))


def gzipped(raw: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(gzip.compress(raw)) and None  # type: ignore[func-returns-value]


# TensorFlow Lite's and TensorFlow.js' models.


def lite(change: Callable[[bytearray], None]) -> Callable[[Path], None]:
    """Return a writer of an honest model with changed bytes."""

    def write(path: Path) -> None:
        from helpers.foreign import lite_network

        raw = bytearray(lite_network())
        change(raw)
        path.write_bytes(raw)

    return write


def sparse_claims(path: Path) -> None:
    """A sparse tensor of four terabytes."""
    from helpers.foreign import Lite

    model = Lite()
    x, y = model.tensor("x", (1, 4)), model.tensor("y", (1, 4))
    weights = model.sparse("MobilenetV1/Conv2d_0/weights", np.eye(4, dtype=np.float32))
    model.graph.tensors[weights].shape = [1 << 20, 1 << 20]
    model.add("FULLY_CONNECTED", [x, weights, -1], [y], "FullyConnectedOptions")
    path.write_bytes(model.packed([x], [y]))


def shared_constants(path: Path) -> None:
    """Four thousand constants of 4 MB each, which share their bytes."""
    from helpers.foreign import Lite

    model = Lite()
    x, y = model.tensor("x", (1, 4)), model.tensor("y", (1, 4))
    first = model.constant("c", np.zeros(1 << 20, np.int32))
    for at in range(1 << 12):
        model.graph.tensors[model.tensor(f"c{at}", (1 << 20,), "INT32")].buffer = model.graph.tensors[first].buffer
    model.add("RELU", [x], [y])
    path.write_bytes(model.packed([x], [y]))


def tfjs(manifest: Any, topology: Any = None) -> Callable[[Path], None]:
    content = {"modelTopology": topology or {"node": [{"name": "x", "op": "Placeholder"}]}, "weightsManifest": manifest}
    return lambda path: path.write_text(json.dumps(content)) and None


def tfjs_weight(**more: Any) -> list[Any]:
    """Return the manifest of one tensor in a shard of zeros, ``shard.bin`` beside the corpus."""
    weight = {"name": "MobilenetV1/Conv2d_0/weights", "shape": [16], "dtype": "float32"} | more
    return [{"paths": ["shard.bin"], "weights": [weight]}]


# TensorFlow's checkpoints.


def bundle(*pairs: tuple[bytes, bytes], data: bytes = bytes(24)) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(tables.table([(b"", tables.header()), *pairs]))
        path.with_suffix(".data-00000-of-00001").write_bytes(data)

    return write


def claiming(shape: tuple[int, ...], size: int) -> bytes:
    return tables.record(bytes(24), shape) + tables.number(5, size)


def snappy_bomb(path: Path) -> None:
    stored = tables.varint(1 << 40) + b"\0w"
    path.write_bytes(tables.stack([tables.Block(b"w", stored, tables.SNAPPY)]))


def endless_keys(path: Path) -> None:
    first = b"\0\0" + tables.varint(len(tables.header())) + tables.header()
    longest = 1 << 16
    first += b"\0" + tables.varint(longest) + b"\0" + b"k" * longest
    longer = b"".join(tables.varint(longest + more) + b"\1\0k" for more in range(1 << 13))
    path.write_bytes(tables.stack([tables.Block(b"w", first + longer + bytes(4) + b"\1\0\0\0", tables.PLAIN)]))


# Archives that are fetched.


def tar(*members: tuple[str, bytes, str]) -> Callable[[Path], None]:
    """Return a writer of a .tar.gz of (name, type, where a link leads)."""

    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for name, kind, leads in members:
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, leads
                info.size = 3 if kind == tarfile.REGTYPE else 0
                archive.addfile(info, io.BytesIO(b"abc") if info.size else None)

    return write


def header_bomb(path: Path) -> None:
    """Write a tar archive whose extended header has 512 MiB, which tarfile reads into memory."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 29
    path.write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(info.size), 1))


def pth_in_zip(path: Path) -> None:
    inner = path.with_name("inner.pth")
    pth(lambda _: calling("os", "system", touch(path)))(inner)
    zipped(path, ("release/model.pth", inner.read_bytes()))
    inner.unlink()


def long_event(path: Path) -> None:
    from porter.formats.tensorflow.crc import masked_crc32c

    length = (1 << 60).to_bytes(8, "little")
    path.write_bytes(
        record(b"\x1a\x0dbrain.Event:2") + length + masked_crc32c(length).to_bytes(4, "little") + bytes(99)
    )


def safetensors(header: Any, values: bytes = bytes(8), size: int | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        text = json.dumps(header).encode()
        path.write_bytes((len(text) if size is None else size).to_bytes(8, "little") + text + values)

    return write


def shards(place: str) -> Callable[[Path], None]:
    """Return a writer of an index that lists a tensor in ``place``."""
    return lambda path: path.write_text(json.dumps({"weight_map": {"w": place}})) and None  # type: ignore[func-returns-value]


def raw(contents: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(contents) and None  # type: ignore[func-returns-value]


F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
ENDLESS = {"dtype": "F32", "shape": [0, 1 << 62, 9], "data_offsets": [0, 0]}
AXES = {"dtype": "BF16", "shape": [1] * 70, "data_offsets": [0, 2]}
HUGE = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
RAW = bytes(24)
W = tables.record(RAW, (2, 3))
FILE, LINK, HARD, DEVICE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
OPTIMISTIC = b"\x80\x02Nr\0\0\0\x40" + EMPTY[2:]

CORPUS = (
    Hostile("os-system.pth", pth(lambda p: calling("os", "system", touch(p))), "pickles a call of os.system"),
    Hostile("exec.pth", pth(lambda p: calling("builtins", "exec", python(p))), "pickles a call of exec"),
    Hostile("old-system.pth", lambda p: p.write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
            + EMPTY + calling("os", "system", touch(p))), "pickles"),
    Hostile("climbing.pth", pth(lambda p: EMPTY, ("../outside/touched", b"x")), "lies outside the archive"),
    Hostile("absolute.pth", pth(lambda p: EMPTY, ("/tmp/touched", b"x")), "lies outside the archive"),
    Hostile("twice.pth", pth(lambda p: EMPTY, ("m/data.pkl", EMPTY)), "occurs twice"),
    Hostile("link.pth", pth(lambda p: EMPTY, (member("m/link", 0o120777), b"/etc/passwd")), "is a link or a device"),
    Hostile("bomb.pth", packed_bomb, "claims to unpack from"),
    Hostile("os-system.npz", npz_pickle(lambda p: calling("os", "system", touch(p))), "which no pickled array has"),
    Hostile("eval.npz", npz_pickle(lambda p: b"\x80\x02cbuiltins\neval\nX\1\0\0\0xq\0\x85R."),
            "pickles a call of builtins.eval"),
    Hostile("memo.npz", npz_pickle(lambda p: OPTIMISTIC), "more than it holds"),
    Hostile("climbing.npz", npz(("w.npy", ONE), ("../w.npy", ONE)), "lies outside the archive"),
    Hostile("device.npz", npz(("w.npy", ONE), (member("d.npy", 0o020666), ONE)), "is a link or a device"),
    Hostile("terabyte.npz", npz(("w.npy", npy("(274877906944,)", "<f4", bytes(8)))), "has 8 bytes, but float32"),
    Hostile("bomb.npz", npz(("w.npy", npy("(536870912,)", "|u1", bytes(1 << 29))), packed=True), "claims to unpack"),
    Hostile("lambda.keras", keras(json.dumps(LAMBDA)), "its layer run is a Lambda"),
    Hostile("nested.keras", keras("[" * 200_000), "is not a whole .keras file"),
    Hostile("lambda.h5", h5_lambda, "its layer run is a Lambda"),
    Hostile("calls.keras", keras(models_in_models()), "its models are called too often in each other", "network"),
    Hostile("calls.h5", h5_models, "its models are called too often in each other", "network"),
    Hostile("calls.json", lambda p: tfjs(tfjs_weight(), json.loads(models_in_models()))(p),
            "its models are called too often in each other", "network"),
    Hostile("external-link.h5", h5(h5_external_link), "which porter does not follow"),
    Hostile("external-storage.h5", h5(h5_external_storage), "its values lie in another file"),
    Hostile("virtual.h5", h5(h5_virtual), "is a virtual dataset"),
    Hostile("terabytes.h5", h5(h5_claims), "claims 4398046511104 bytes, but the file stores 0"),
    Hostile("bomb.h5", h5(h5_packed), "claims 134217728 bytes, but the file stores"),
    Hostile("chunk.h5", h5(h5_chunk), "claims 1073741824 bytes, but the file stores"),
    Hostile("text.h5", h5_text, "with name, the texts claim 4294967280 bytes"),
    Hostile("writefile.pb", graph_on_the_way("WriteFile"), "WriteFile at payload", "verify"),
    Hostile("pyfunc.pb", graph_on_the_way("PyFunc"), "PyFunc at payload", "verify"),
    Hostile("main-op", saved_model, "the nodes that payload needs, which TensorFlow runs when it loads", "verify"),
    Hostile("nested.pb", lambda p: p.write_bytes(nested(20_000)), "is not a whole TensorFlow graph"),
    Hostile("nested-module", hub_module(lambda p: p.write_bytes(nested(20_000)) and None),
            "is not a whole TensorFlow graph", "inspect"),
    Hostile("nested.pbtxt", raw(b"node { name: 'a' op: 'B' attr { value " + b"{ list { func { attr { value " * 5000),
            "is not a whole graph in protobuf's text format", "inspect"),
    Hostile("splat.pb", splat, "leaves out 8589934590 of its values", "read"),
    Hostile("root.tflite", lite(lambda raw: raw.__setitem__(slice(0, 4), b"\xf0\xff\xff\x7f")),
            "an offset leads to byte"),
    Hostile("sparse.tflite", sparse_claims, "claims 4398046511104 bytes, but the file stores 16"),
    Hostile("shared.tflite", shared_constants, "its constants share bytes", "inspect"),
    Hostile("climbing.json", tfjs([{"paths": ["../outside/canary"], "weights": []}]), "outside its folder"),
    Hostile("absolute.json", tfjs([{"paths": ["/etc/passwd"], "weights": []}]), "outside its folder"),
    Hostile("terabyte.json", tfjs(tfjs_weight(shape=[1 << 40])), "lists tensors of 4,398,046,511,104 bytes"),
    Hostile("strings.json", tfjs(tfjs_weight(shape=[1 << 40], dtype="string")), "ends beyond its shards"),
    Hostile("nested.json", raw(b'{"modelTopology": {"a": ' + b"[" * 200_000), "is not a whole TensorFlow.js model"),
    Hostile("lambda.json", tfjs(tfjs_weight(), LAMBDA), "its layer run is a Lambda"),
    Hostile("gzip-bomb.pb", gzipped(bytes(1 << 29)), "which weights never do"),
    Hostile("tiny-nodes.pb", raw(b"\n\0" * (1 << 22)), "is not a whole TensorFlow graph"),
    Hostile("terabyte.index", bundle((b"MobilenetV1/Conv2d_0/weights", claiming((1 << 38,), 1 << 40))),
            "is cut off: MobilenetV1/Conv2d_0/weights ends at byte 1099511627776", "read"),
    Hostile("overlap.index", bundle((b"v", W), (b"w", W)), "v and w share the bytes 0 to 24"),
    Hostile("hole.index", bundle((b"w", tables.record(RAW, (2, 3), offset=2**40))), "belong to no tensor"),
    Hostile("snappy.index", snappy_bomb, "claims to unpack to 1099511627776 bytes"),
    Hostile("keys.index", endless_keys, "keys take more than"),
    Hostile("header.safetensors", safetensors({"w": F4}, size=1 << 50), "ends within its header"),
    Hostile("terabytes.safetensors", safetensors({"w": HUGE}), "is not a whole safetensors file"),
    Hostile("shape.safetensors", safetensors({"w": ENDLESS}, b""), "which no array can have"),
    Hostile("axes.safetensors", safetensors({"w": AXES}, bytes(2)), "which no array can have"),
    Hostile("shared.safetensors", safetensors({"v": F4, "w": F4}), "is not a whole safetensors file"),
    Hostile("climbing.index.json", shards("../outside/secret.h5"), "is not one beside it: do not trust it"),
    Hostile("absolute.index.json", shards("/etc/passwd"), "is not one beside it: do not trust it"),
    Hostile("itself.index.json", shards("itself.index.json"), "is not one beside it: do not trust it"),
    Hostile("pickle.index.json", shards("os-system.pkl"), "is a pickle, which"),
    Hostile("nested.index.json", raw(b'{"weight_map": ' + b"[" * 200_000), "is not a whole index of weights"),
    Hostile("events.out.tfevents.1.host", long_event, "The file ends within the record at byte", "logs"),
    Hostile("climbing.tar.gz", tar(("model.ckpt", FILE, ""), ("../outside/touched", FILE, "")), "outside", "fetch"),
    Hostile("absolute.tar.gz", tar(("/tmp/model.ckpt", FILE, "")), "points outside the folder", "fetch"),
    Hostile("symlink.tar.gz", tar(("model.ckpt", LINK, "/etc/passwd")), "a link or a device", "fetch"),
    Hostile("hardlink.tar.gz", tar(("model.ckpt", HARD, "/etc/passwd")), "a link or a device", "fetch"),
    Hostile("device.tar.gz", tar(("model.ckpt", DEVICE, "")), "a link or a device", "fetch"),
    Hostile("climbing.tgz", tar(("model.ckpt", FILE, ""), ("../outside/touched", FILE, "")), "outside the folder"),
    Hostile("symlink.tgz", tar(("variables", LINK, "/etc"), ("variables/passwd", FILE, "")), "a link or a device"),
    Hostile("header-bomb.tgz", header_bomb, "a header claims 536,870,912 bytes"),
    Hostile("bomb.ckpt.gz", gzipped(bytes(1 << 29)), "which weights never do"),
    Hostile("bomb.zip", lambda p: zipped(p, *((f"{n}.pb", bytes(1 << 26)) for n in range(8)), packed=True),
            "which weights never do"),
    Hostile("climbing.zip", lambda p: zipped(p, ("m.pth", EMPTY), ("../outside/touched", b"x")), "outside the archive"),
    Hostile("os-system.zip", pth_in_zip, "pickles a call of os.system"),
    Hostile("os-system.pkl", lambda p: p.write_bytes(calling("os", "system", touch(p))) and None, "is a pickle, which"),
)  # fmt: skip


def build(folder: Path) -> None:
    """Write the corpus, and the canaries that no payload may touch."""
    import h5py

    outside = folder / "outside"
    outside.mkdir(parents=True)
    (outside / "canary").write_bytes(CANARY)
    with h5py.File(outside / "secret.h5", "w") as file:
        file["kernel"] = np.arange(4, dtype="f4")
    (folder / "shard.bin").write_bytes(bytes(64))
    for hostile in CORPUS:
        hostile.write(folder / hostile.name)


# Reading.


def verbs(path: Path, out: Path) -> dict[str, Callable[[], object]]:
    """Return the verbs that a user may apply to a file."""
    import porter
    from porter.catalog.unpack import unpack
    from porter.formats.open import open_checkpoint
    from porter.formats.tensorflow.events import newest_graph
    from porter.parity.compare_runs import Settings
    from porter.runners.images import sample_paths
    from porter.verbs.inspect import open_graph

    quick: dict[str, Any] = {"images": sample_paths()[:1], "settings": Settings(precision="float32")}
    return {
        "port": lambda: porter.port(MODEL, "tf", "torch", checkpoint=path, out=out / "out.safetensors"),
        "read": lambda: dict(open_checkpoint(path)),
        "network": lambda: open_graph(path).multiply_adds,
        "inspect": lambda: json.dumps(porter.inspect(path).as_dict(), default=str),
        "verify": lambda: porter.verify(MODEL, graph=path, **quick),
        "logs": lambda: newest_graph(path),
        "fetch": lambda: unpack(path, "model.ckpt", out),
    }


WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = (
    *("subprocess", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "os.startfile", "pty", "socket"),
    *("os.symlink", "os.link", "os.chmod", "os.chown", "shutil.copy", "shutil.move", "shutil.unpack"),
    *("urllib", "http", "ftplib", "smtplib", "webbrowser", "pickle.find_class"),
    *("ctypes.dlopen", "code.__new__"),
)  # fmt: skip


class Watch:
    """An audit hook: records every event that no reader of a file needs."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.on = False
        self.seen: list[str] = []
        self.honest: set[str] = set()
        self.folder, self.out = str(folder), str(out)
        self.trusted = (sys.prefix, sys.base_prefix, str(ROOT), "<frozen")
        self.thread = threading.get_ident()
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or threading.get_ident() != self.thread:
            return
        if event == "tempfile.mkdtemp":
            if not str(args[0]).startswith(self.out):  # porter itself writes a port, or unpacks an archive there
                self.seen.append(f"{event} {args[0]}")
        elif event.startswith(FORBIDDEN):
            self.seen.append(f"{event} {str(args)[:200]}")
        elif event == "exec" and not self._is_trusted(getattr(args[0], "co_filename", "")):
            self.seen.append(f"exec of {args[0]}")
        elif event == "open" and isinstance(args[0], (str, bytes)):
            path, flags = os.fsdecode(args[0]), args[2] or 0
            writes = bool(flags & WRITES) or any(letter in (args[1] or "") for letter in "wax+")
            if "/outside" in path or (writes and not path.startswith((self.out, "/dev/null"))):
                self.seen.append(f"open {path} {args[1]} {flags}")

    def over(self, verb: Callable[[], object]) -> dict[str, Any]:
        """Run a verb; return its outcome, the events that were seen, and its CPU time and memory."""
        for path in Path(self.out).iterdir():
            path.unlink()
        gc.collect()
        forget()
        before, self.on = memory("VmRSS"), True
        found = tried(verb)
        self.on = False
        seen, self.seen = self.seen, []
        left = sorted(path.name for place in (self.out, f"{self.out}-unpacked") for path in Path(place).iterdir())
        left = [name for name in left if name not in self.honest]
        return {"grew": memory("VmHWM") - before, "seen": seen, "left": left, **found}

    def _is_trusted(self, name: str) -> bool:
        # Generated classes have no file, but all modules are imported by now, so only a payload runs such code.
        return name.startswith(self.trusted)


def memory(what: str) -> int:
    """Return this process's memory in bytes: now (VmRSS), or at most since `forget` (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) * 1024


def forget() -> None:
    """Reset the peak of this process's memory."""
    Path("/proc/self/clear_refs").write_text("5")


def tried(verb: Callable[[], object]) -> dict[str, Any]:
    from porter.errors import PorterError

    start = time.process_time()  # other processes of the machine do not count
    try:
        verb()
        told = {"told": None}
    except PorterError as error:
        told = {"told": str(error), "kind": type(error).__name__}
    except BaseException as error:
        told = {"told": f"{type(error).__name__}: {error}", "kind": "crash"}
    return told | {"seconds": time.process_time() - start}


def read(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the outcome of every verb on every file, and the events that were seen."""
    out = folder / "out"
    tempfile.tempdir = str(folder / "out-unpacked")
    for place in (out, Path(tempfile.tempdir)):
        place.mkdir(exist_ok=True)
    watch = Watch(folder, out)
    warm_up(folder / "honest", out)
    watch.honest = {path.name for path in Path(tempfile.tempdir).iterdir()}  # archives that this process still reads
    gc.freeze()  # later collections skip the imported modules
    for hostile in CORPUS:
        if names and hostile.name not in names:
            continue
        for name, verb in verbs(folder / hostile.name, out).items():
            if (hostile.verb == "fetch" or name in ("fetch", "verify", "logs")) and name != hostile.verb:
                continue
            yield {"name": hostile.name, "verb": name, **watch.over(verb)}
    yield {"name": "control", "verb": "unpickle", **watch.over(lambda: pickle.loads(calling("os", "system", "true")))}
    yield {"name": "control", "verb": "exec", **watch.over(lambda: exec("sum([])"))}
    yield {"name": "control", "verb": "open", **watch.over(lambda: (folder / "outside" / "canary").read_bytes())}
    yield {"name": "control", "verb": "allocate", **watch.over(lambda: len(b"x" * (1 << 29)))}


def warm_up(folder: Path, out: Path) -> None:
    """Read an honest file of every kind, so that all modules are imported before anything is watched."""
    import h5py
    import torch
    from safetensors.numpy import save_file

    from porter.formats.open import open_checkpoint
    from porter.verbs.seed import seed

    folder.mkdir(exist_ok=True)
    seed(MODEL, folder / "model.ckpt")
    values = np.empty(1, object)
    values[0] = np.zeros(2, np.float32)
    np.savez(folder / "m.npz", w=values[0], values=values)
    torch.save({"w": torch.zeros(2)}, folder / "m.pth")
    torch.save({"w": torch.zeros(2)}, folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file({"w": values[0]}, folder / "m.safetensors")
    with h5py.File(folder / "m.h5", "w") as file:
        numbered(file)["0"] = np.zeros(4, "f4")
    keras("{}")(folder / "m.keras")
    tar(("model.ckpt", FILE, ""))(folder / "m.tar.gz")
    (folder / "events.out.tfevents.1.host").write_bytes(record(b"\x1a\x0dbrain.Event:2"))
    frozen_graph = frozen()
    (folder / "m.pb").write_bytes(frozen_graph.SerializeToString())
    from helpers.foreign import lite_network, write_tfjs_graph

    (folder / "m.tflite").write_bytes(lite_network())
    write_tfjs_graph(folder, frozen_graph)
    (folder / "m.pbtxt").write_text(f"node {{ {frozen_graph.node[0]} }}")
    for path in sorted(folder.iterdir()):
        for name, verb in verbs(path, out).items():
            if name == "fetch" and not path.name.endswith(".tar.gz"):
                continue
            if name == "verify":
                continue
            tried(verb)
    tried(lambda: dict(open_checkpoint(folder / "m.pb")))
    tried(verbs(folder / "m.pb", out)["verify"])
    for path in out.iterdir():
        path.unlink()


if __name__ == "__main__":
    command, place, *chosen = sys.argv[1:]
    if command == "build":
        build(Path(place))
    else:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        pipe = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        for line in read(Path(place), chosen):
            print(json.dumps(line), file=pipe)
