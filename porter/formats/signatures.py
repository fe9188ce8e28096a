"""The kinds of file that porter knows: the bytes that tell each, and the reader of its tensors.

To add a kind, add one record to KINDS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from porter.errors import FormatError
from porter.files.seals import has_seal
from porter.formats.savers import index_of
from porter.formats.tensorflow.sstable import FOOTER, is_table
from porter.formats.tensorflow.tfrecord import is_records
from porter.formats.tensorflow.v1 import is_v1
from porter.formats.zip import members_of

READS = "a TensorFlow checkpoint, a frozen graph, a SavedModel, a .safetensors, .pth, .npz, .keras or .h5 file"
"""The files whose tensors porter reads, in words."""
STATE = re.compile(rb'\s*model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"')
"""How a saver's file ``checkpoint`` begins, in protobuf's text format."""
SAVED_MODEL_START = b"\x08\x01\x12"
"""saved_model_schema_version 1, and the tag of the first of the meta_graphs (saved_model.proto)."""
HDF5_START = b"\x89HDF\r\n\x1a\n"
_HEAD, _TAIL = 4096, 128


class Peek:
    """A file's first bytes ``head``, its last bytes ``tail`` and its ``size``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self.head = file.read(_HEAD)
            self.size = file.seek(0, 2)
            file.seek(max(0, self.size - _TAIL))
            self.tail = file.read()

    @property
    def is_table(self) -> bool:
        return is_table(self.tail[-FOOTER:])

    @property
    def is_zip(self) -> bool:
        return self.head[:2] == b"PK"

    @cached_property
    def members(self) -> list[str] | None:
        """The names in a zip archive; None for any other file, and for a damaged archive."""
        try:
            return members_of(self.path) if self.is_zip else None
        except FormatError:
            return None


def is_text_graph(head: bytes) -> bool:
    """Tell whether a file's first bytes are a graph in protobuf's text format."""
    head = head[:_HEAD]
    return not head.translate(None, bytes([*range(32, 256), 9, 10, 13])) and any(
        word in head
        for word in (b"node {", b"node{", b"graph_def", b"meta_info_def", b"saved_model_schema", b"library {")
    )


def is_gzipped(head: bytes) -> bool:
    """Tell whether a file's first bytes are gzip's."""
    return head[:2] == b"\x1f\x8b"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    ``holds`` says what a file of this kind contains; a "pointer" names or needs another file of the same checkpoint.
    ``reader`` reads its tensors: ``module:function`` within porter.formats, imported when it is first needed. It takes
    the file's path, and all files of a ``sharded`` kind. ``refusal`` is what `open_checkpoint` says of a kind without a
    reader.
    """

    name: str
    holds: Literal["tensors", "graph", "events", "record", "pointer", "nothing"]
    matches: Callable[[Peek], bool]
    reader: str = ""
    sharded: bool = False
    refusal: str = ""


DATA_FILE = Kind("TensorFlow data file", "pointer", lambda peek: index_of(peek.path) is not None)
EVENTS = Kind(
    "TensorBoard event file",
    "events",
    # A file that its writer has not flushed yet is empty, and only its name tells what it is.
    lambda peek: is_records(peek.head[:12]) or (not peek.size and "tfevents" in peek.path.name),
    refusal="is an event file, which holds no tensors: name {reads}",
)
EMPTY = Kind("empty file", "nothing", lambda peek: not peek.size, refusal="is empty: copy or download it again")
V1 = Kind(
    "TensorFlow V1 checkpoint",
    "tensors",
    lambda peek: peek.is_table and is_v1(peek.path),
    "tensorflow.v1:read_v1",
    sharded=True,
)
BUNDLE = Kind("TensorFlow V2 checkpoint", "tensors", lambda peek: peek.is_table, "tensorflow.bundle:read_bundle")
SAFETENSORS = Kind(
    "safetensors",
    "tensors",
    lambda peek: peek.head[8:9] == b"{" and int.from_bytes(peek.head[:8], "little") <= peek.size,
    "safetensors:read_safetensors",
)
HDF5 = Kind("HDF5", "tensors", lambda peek: peek.head.startswith(HDF5_START), "keras.weights:read_h5")
DAMAGED_ZIP = Kind("zip archive", "nothing", lambda peek: peek.is_zip and peek.members is None, "zip:refuse")
KERAS = Kind("Keras archive", "tensors", lambda peek: "config.json" in (peek.members or ()), "keras.weights:read_keras")
NPZ = Kind(
    "numpy archive",
    "tensors",
    lambda peek: any(name.endswith(".npy") for name in peek.members or ()),
    "numpy.npz:read_npz",
)
PTH = Kind("PyTorch archive", "tensors", lambda peek: peek.is_zip, "torch.pth:read_pth")
OLD_PTH = Kind("PyTorch pickles", "tensors", lambda peek: peek.head[:2] == b"\x80\x02", "torch.pth:read_pth")
STATE_FILE = Kind("TensorFlow checkpoint state", "pointer", lambda peek: STATE.match(peek.head) is not None)
TEXT_GRAPH = Kind(
    "TensorFlow graph as text",
    "graph",
    lambda peek: is_text_graph(peek.head),
    refusal="is a graph as text, from which porter reads no weights: name {reads}",
)
GZIPPED_GRAPH = Kind(
    "gzipped TensorFlow graph", "graph", lambda peek: is_gzipped(peek.head), "tensorflow.frozen:read_frozen"
)
SAVED_MODEL_GRAPH = Kind(
    "SavedModel's graph",
    "graph",
    lambda peek: peek.head.startswith(SAVED_MODEL_START),
    refusal="is a SavedModel's graph, and its values lie in variables/ beside it: copy that folder too",
)
# The first field of a GraphDef, and of most MetaGraphDefs.
GRAPH = Kind("TensorFlow graph", "graph", lambda peek: peek.head[:1] == b"\n", "tensorflow.frozen:read_frozen")
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
    lambda peek: peek.path.suffix == ".index",
    refusal="does not end like a checkpoint index, so it is cut off: copy or download it again",
)
UNKNOWN = Kind(
    "unknown file",
    "nothing",
    lambda _: True,
    refusal="begins with {start}, which is none of the formats that porter reads: name {reads}",
)

KINDS = (
    *(DATA_FILE, EVENTS, EMPTY, V1, BUNDLE, SAFETENSORS, HDF5, DAMAGED_ZIP, KERAS, NPZ, PTH, OLD_PTH, STATE_FILE),
    *(TEXT_GRAPH, GZIPPED_GRAPH, SAVED_MODEL_GRAPH, GRAPH, RECORD),
    *(CUT_SAFETENSORS, CUT_INDEX, UNKNOWN),
)
"""All kinds in the order in which they are tried: the first that matches is a file's kind."""


def kind_of(path: Path) -> Kind:
    """Return the kind of a file. Raises OSError if it cannot be read."""
    peek = Peek(path)
    return next(kind for kind in KINDS if kind.matches(peek))
