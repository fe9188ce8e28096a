"""The kinds of file that porter knows: the bytes that tell each, and the reader of its tensors.

To add a kind, add one record to KINDS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from porter.files.seals import has_seal
from porter.formats.peek import Peek, is_gzipped, is_text_graph
from porter.formats.savers import index_of
from porter.formats.tensorflow.tfrecord import is_records
from porter.formats.tensorflow.v1 import is_v1

READS = (
    "a TensorFlow checkpoint, a frozen graph, a SavedModel, a .safetensors, .pth, .npz, .keras, .h5 or .tflite file, "
    "or TensorFlow.js' model.json"
)
"""The files whose tensors porter reads, in words."""
STATE = re.compile(rb'\s*model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"')
"""How a saver's file ``checkpoint`` begins, in protobuf's text format."""
SAVED_MODEL_START = b"\x08\x01\x12"
"""saved_model_schema_version 1, and the tag of the first of the meta_graphs (saved_model.proto)."""
HDF5_START = b"\x89HDF\r\n\x1a\n"
OLD_PTH_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickle of MAGIC_NUMBER, with which torch.save began before PyTorch 1.6 (torch/serialization.py)."""
_WEB_PAGE = re.compile(rb"\s*<(!doctype\s+html|html|head|body|\?xml|!--)", re.IGNORECASE)
"""Servers answer with HTML, or like Amazon S3 and Google Storage with XML."""
_PICKLE = re.compile(rb"\x80[\x02-\x05]|[(]dp?0?\n|[(]lp?0?\n|ccopy_reg\n|cnumpy[.\n]")
"""A pickle's protocol, or the usual first opcodes of a dictionary, list or array of protocol 0."""
_ONNX = re.compile(rb"\x08[\x02-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]")
"""ir_version above 1, then another field of a ModelProto (onnx/onnx.proto)."""
_TFJS = re.compile(rb'\s*\{.*"(modelTopology|weightsManifest)"\s*:\s*[\[{]', re.DOTALL)
_TFJS_MANIFEST = re.compile(rb'\s*\[\s*\{\s*"(weights|paths)"\s*:\s*\[')


def _is_graph(head: bytes) -> bool:
    return head.startswith((b"\n", SAVED_MODEL_START)) or is_text_graph(head)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    ``holds`` says what a file of this kind contains; a "pointer" names or needs another file of the same checkpoint.
    ``reader`` reads its tensors: ``module:function`` within porter.formats, imported when it is first needed. It takes
    the file's path, and all files of a ``sharded`` kind. ``refusal`` is what `open_checkpoint` says of a kind without a
    reader. ``suffixes`` are those that a damaged file of this kind is known by in a folder.
    """

    name: str
    holds: Literal["tensors", "graph", "events", "record", "pointer", "archive", "nothing"]
    matches: Callable[[Peek], bool]
    reader: str = ""
    sharded: bool = False
    refusal: str = ""
    suffixes: tuple[str, ...] = ()


DATA_FILE = Kind("TensorFlow data file", "pointer", lambda peek: index_of(peek.path) is not None)
EVENTS = Kind(
    "TensorBoard event file",
    "events",
    # A file that its writer has not flushed yet is empty, and only its name tells what it is.
    lambda peek: is_records(peek.head[:12]) or (not peek.size and "tfevents" in peek.path.name),
    refusal="is an event file, which holds no tensors: name {reads}",
)
EMPTY = Kind("empty file", "nothing", lambda peek: not peek.size, refusal="is empty: copy or download it again")
LFS_POINTER = Kind(
    "Git LFS pointer",
    "nothing",
    lambda peek: peek.begins(b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/"),
    refusal="is a Git LFS pointer instead of the file itself: run git lfs pull in its repository",
)
WEB_PAGE = Kind(
    "web page",
    "nothing",
    lambda peek: _WEB_PAGE.match(peek.text) is not None,
    refusal="is a web page instead of the file itself: open it in a browser to see why, and download the file again",
)
TFJS = Kind(
    "TensorFlow.js model",
    "graph",
    lambda peek: _TFJS.match(peek.text) is not None,
    "tfjs.weights:read_tfjs",
    suffixes=("model.json",),
)
TFJS_WEIGHTS = Kind(
    "TensorFlow.js weights manifest",
    "tensors",
    lambda peek: _TFJS_MANIFEST.match(peek.text) is not None,
    "tfjs.weights:read_tfjs",
    suffixes=("weights_manifest.json",),
)
V1 = Kind(
    "TensorFlow V1 checkpoint",
    "tensors",
    lambda peek: peek.is_table and is_v1(peek.path),
    "tensorflow.v1:read_v1",
    sharded=True,
    suffixes=(".ckpt",),
)
BUNDLE = Kind(
    "TensorFlow V2 checkpoint",
    "tensors",
    lambda peek: peek.is_table,
    "tensorflow.bundle:read_bundle",
    suffixes=(".index",),
)
SHARD_INDEX = Kind(
    "index of weights in several files",
    "tensors",
    lambda peek: peek.path.name.endswith(".index.json") and peek.text.lstrip()[:1] == b"{" and not has_seal(peek.tail),
    "sharded:read_sharded",
    suffixes=(".index.json",),
)
SAFETENSORS = Kind(
    "safetensors",
    "tensors",
    lambda peek: peek.head[8:9] == b"{" and int.from_bytes(peek.head[:8], "little") <= peek.size,
    "safetensors:read_safetensors",
    suffixes=(".safetensors",),
)
HDF5 = Kind("HDF5", "tensors", lambda peek: peek.begins(HDF5_START), "keras.weights:read_h5", suffixes=(".h5", ".hdf5"))
DAMAGED_ZIP = Kind("zip archive", "nothing", lambda peek: peek.is_zip and peek.members is None, "zip:refuse")
KERAS = Kind(
    "Keras archive",
    "tensors",
    lambda peek: "config.json" in peek.names and any(name.endswith((".h5", "metadata.json")) for name in peek.names),
    "keras.weights:read_keras",
    suffixes=(".keras",),
)
NPZ = Kind(
    "numpy archive",
    "tensors",
    lambda peek: any(name.endswith(".npy") for name in peek.names),
    "numpy.npz:read_npz",
    suffixes=(".npz",),
)
PTH = Kind(
    "PyTorch archive",
    "tensors",
    lambda peek: any(name.endswith("/data.pkl") for name in peek.names),
    "torch.pth:read_pth",
    suffixes=(".pth", ".pt", ".bin"),
)
OLD_PTH = Kind("PyTorch pickles", "tensors", lambda peek: peek.begins(OLD_PTH_START), "torch.pth:read_pth")
PICKLE = Kind(
    "pickle",
    "nothing",
    lambda peek: _PICKLE.match(peek.head) is not None,
    refusal="is a pickle, which may run code when it is opened: save its arrays with numpy.savez",
)
NPY = Kind(
    "numpy array",
    "nothing",
    lambda peek: peek.begins(b"\x93NUMPY"),
    refusal="is a .npy file, one array without names: save a network's arrays by name with numpy.savez",
)
ZIP = Kind(
    "zip of files",
    "archive",
    lambda peek: peek.is_zip,
    "archives:read_archive",
    sharded=True,
    suffixes=(".zip",),
)
TAR = Kind(
    "tar archive",
    "archive",
    lambda peek: peek.is_tar,
    "archives:read_archive",
    sharded=True,
    suffixes=(".tgz", ".tar", ".tar.gz"),
)
PACKED = Kind(
    "compressed file",
    "nothing",
    lambda peek: peek.begins(b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"),
    refusal="is compressed in a way that porter does not unpack: unpack it yourself, or pack it as .zip or .tar.gz",
)
STATE_FILE = Kind("TensorFlow checkpoint state", "pointer", lambda peek: STATE.match(peek.text) is not None)
TEXT_GRAPH = Kind(
    "TensorFlow graph as text",
    "graph",
    lambda peek: is_text_graph(peek.head),
    refusal="is a graph as text, from which porter reads no weights: name {reads}",
)
GZIPPED_GRAPH = Kind(
    "gzipped TensorFlow graph",
    "graph",
    lambda peek: is_gzipped(peek.head) and (not peek.unzipped or _is_graph(peek.unzipped)),
    "tensorflow.frozen:read_frozen",
)
GZIPPED = Kind("gzipped file", "archive", lambda peek: is_gzipped(peek.head), "archives:read_archive", sharded=True)
META = Kind(
    "TensorFlow MetaGraphDef",
    "graph",
    # A MetaGraphDef's first or second field; the second one alone tells too little without the name.
    lambda peek: peek.path.name.endswith(".meta") and peek.begins(b"\n", b"\x12"),
    refusal="holds a graph, and its values lie in the checkpoint beside it: copy that too",
    suffixes=(".meta",),
)
SAVED_MODEL_GRAPH = Kind(
    "SavedModel's graph",
    "graph",
    lambda peek: peek.head.startswith(SAVED_MODEL_START),
    refusal="is a SavedModel's graph, and its values lie in variables/ beside it: copy that folder too",
)
# The first field of a GraphDef, and of most MetaGraphDefs.
GRAPH = Kind(
    "TensorFlow graph",
    "graph",
    lambda peek: peek.begins(b"\n") and not peek.is_text,
    "tensorflow.frozen:read_frozen",
    suffixes=(".pb",),
)
TFLITE = Kind(
    "TensorFlow Lite model",
    "graph",
    lambda peek: peek.head[4:8] == b"TFL3",
    "tflite.weights:read_tflite",
    suffixes=(".tflite",),
)
ONNX = Kind(
    "ONNX model",
    "nothing",
    lambda peek: _ONNX.match(peek.head) is not None,
    refusal="is an ONNX model, which porter does not read: name the checkpoint that it was exported from",
)
HUB_MARK_NAME = "tfhub_module.pb"
HUB_MARK = Kind(
    "TF-Hub module's mark",
    "nothing",
    lambda peek: peek.path.name == HUB_MARK_NAME,
    refusal="only says that its folder is a TF-Hub module: name the folder",
)
MATLAB = Kind(
    "MATLAB file",
    "nothing",
    lambda peek: peek.begins(b"MATLAB 5.0 MAT-file"),
    refusal="is a MATLAB file: save its arrays by name with scipy.io.loadmat and numpy.savez",
)
RECORD = Kind(
    "porter's record",
    "record",
    lambda peek: has_seal(peek.tail),
    refusal="is a record that porter wrote, without tensors: name the file that it describes",
)
CUT_SAFETENSORS = Kind(
    "safetensors header",
    "nothing",
    lambda peek: peek.head[8:9] == b"{",
    refusal="begins like a safetensors file but ends within its header: copy or download it again",
)
CUT_INDEX = Kind(
    "TensorFlow index",
    "nothing",
    lambda peek: peek.path.name.endswith(".index"),
    refusal="does not end like a checkpoint index, so it is cut off: copy or download it again",
)
TEXT = Kind(
    "text",
    "nothing",
    lambda peek: peek.is_text,
    refusal="is text without tensors, and begins with {words!r}: name {reads}",
)
UNKNOWN = Kind(
    "unknown file",
    "nothing",
    lambda _: True,
    refusal="begins with {start}, which is none of the formats that porter reads: name {reads}",
)

KINDS = (
    *(DATA_FILE, EVENTS, EMPTY, LFS_POINTER, WEB_PAGE, HUB_MARK, TFJS, TFJS_WEIGHTS, V1, BUNDLE),
    *(SHARD_INDEX, SAFETENSORS, HDF5),
    *(DAMAGED_ZIP, KERAS, NPZ, PTH, ZIP, OLD_PTH, STATE_FILE, META),
    *(TEXT_GRAPH, TAR, GZIPPED_GRAPH, GZIPPED, SAVED_MODEL_GRAPH, GRAPH, RECORD),
    *(PICKLE, NPY, PACKED, TFLITE, ONNX, MATLAB, CUT_SAFETENSORS, CUT_INDEX, TEXT, UNKNOWN),
)
"""All kinds in the order in which they are tried: the first that matches is a file's kind."""
STAND_INS = (EMPTY, LFS_POINTER, WEB_PAGE)
"""What a failed download or clone leaves instead of a file."""


def kind_of(path: Path) -> Kind:
    """Return the kind of a file. Raises OSError if it cannot be read."""
    peek = Peek(path)
    return next(kind for kind in KINDS if kind.matches(peek))


def refusal(path: Path, kind: Kind) -> str:
    """Return the sentence that refuses ``path``, of a ``kind`` without a reader."""
    peek = Peek(path)
    words = " ".join(peek.text.decode(errors="replace").split())[:60]
    return f"{path} {kind.refusal.format(start=peek.head[:4].hex(' '), words=words, reads=READS)}"


def stand_in(path: Path) -> str | None:
    """Return the sentence that refuses what a failed download or clone left as ``path``; None for any other file."""
    peek = Peek(path)
    return next((refusal(path, kind) for kind in STAND_INS if kind.matches(peek)), None)
