"""Writes a frozen .pb: the original's recorded graph with the weights as constants."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np

from porter.errors import PorterError, listing, summary
from porter.export.output import Output
from porter.export.recorded_graph import fitted_graph


def write_frozen(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as a frozen graph, one node at a time, and return each tensor's SHA-256.

    Raises PorterError where the recorded graph does not fit the tensors, lacks some of them, or where the file would be
    larger than a protobuf message may be.
    """
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    from porter.formats.tensorflow.source import LIMIT
    from porter.graph.rewrite.freeze import frozen_nodes, variables

    graph = fitted_graph(output)
    if lost := sorted(output.tensors.entries.keys() - set(variables(graph))):
        raise PorterError(
            f"{path.name} holds the original's inference graph, which does not read all of the tensors: write a .ckpt"
            f"{listing(summary(lost))}"
        )
    size = graph.ByteSize() + sum(4 * int(np.prod(entry.shape)) for entry in output.tensors.entries.values())
    if size > LIMIT:
        raise PorterError(f"{path.name} would have {size:,} bytes, but no graph is above {LIMIT:,}: write a .ckpt")
    digests: dict[str, str] = {}

    def load(name: str) -> np.ndarray:
        values = output.stored(name)
        digests[name] = sha256(values.data).hexdigest()
        return values

    with path.open("wb") as file:
        for node in frozen_nodes(graph, output.tensors, load):  # a message in parts is one: each part adds its nodes
            file.write(GraphDef(node=[node]).SerializeToString())
        file.write(GraphDef(versions=graph.versions, library=graph.library).SerializeToString())
    return digests
