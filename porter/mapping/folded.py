"""Folded batch norms: convolutions whose kernels were scaled and whose biases took the rest, given their norms back.

Tools that fold: TensorFlow's optimize_for_inference, transform_graph's fold_batch_norms and fold_old_batch_norms,
PyTorch's fuse_conv_bn. A batch norm that changes nothing puts the layer into the original's form, exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porter.catalog.goldens import Recorded
from porter.formats.checkpoint import Convolution, Entry
from porter.formats.roles import SHADOW_SUFFIX, has_variable
from porter.mapping.dialects import ORIGINAL, Dialect
from porter.mapping.kinds import KINDS
from porter.mapping.table import Table
from porter.mapping.tails import tails

LARGEST_ERROR = 1e-12
"""Bound on |gamma / sqrt(variance + epsilon) - 1| in float64. A deep network amplifies 1e-12 to 1e-9."""
_ENOUGH = 2e-14
_CHUNK = 1 << 18
"""Gammas tried at once, in steps of float32's resolution; one in a few million has an error below ``_ENOUGH``."""


class Norm(NamedTuple):
    """A folded batch norm: the file's names of the convolution's bias and of the norm's own tensors, by role."""

    bias: str
    tensors: Mapping[str, str]
    epsilon: float


@cache
def unit_norm(epsilon: float) -> tuple[np.float32, np.float32]:
    """Return a gamma and a variance that leave values as they are: gamma / sqrt(variance + epsilon) is 1.

    In float64 it is 1 up to ``LARGEST_ERROR``, in float32 exactly. The float32 of 1 - epsilon alone would be wrong by
    up to 3e-8. But every gamma near 1 has its variance gamma^2 - epsilon, and some of these are float32 almost exactly.
    """
    best, error = (np.float32(1), np.float32(1)), np.inf
    for first in range(0, 1 << 23, _CHUNK):  # from 1 down to 1/2
        gamma = (1 - np.arange(first, first + _CHUNK) * np.finfo(np.float32).eps / 2).astype(np.float32)
        variance = (gamma.astype(np.float64) ** 2 - epsilon).astype(np.float32)
        errors = np.abs(gamma / np.sqrt(variance.astype(np.float64) + epsilon) - 1)
        narrow = gamma * (np.float32(1) / np.sqrt(variance + np.float32(epsilon)))
        errors[narrow != 1] = np.inf
        at = int(np.argmin(errors))
        if errors[at] < error:
            best, error = (gamma[at], variance[at]), errors[at]
        if error < _ENOUGH:
            break
    return best


def original_convolutions(golden: Recorded) -> tuple[Convolution, ...]:
    """Return the convolutions of the original's graph, with its names of ops and variables."""
    return _convolutions(golden.graph)


@cache
def _convolutions(graph: Path) -> tuple[Convolution, ...]:
    from porter.formats.tensorflow.convolutions import find_convolutions
    from porter.formats.tensorflow.source import load_graph

    return find_convolutions(load_graph(graph))


def bias_beside(kernel: str, dialect: Dialect) -> str:
    """Return the name of the bias in the layer of the tensor ``kernel``."""
    (bias,) = (tensor for tensor in KINDS["conv_bias"] if tensor.role == "bias")
    scope, separator, _ = kernel.rpartition(dialect.separator)
    return scope + separator + bias.leaf(dialect, "conv_bias").name


def original_names(graph: Sequence[Convolution], originals: Sequence[Convolution], dialect: Dialect) -> dict[str, str]:
    """Return ``{the original's name: the graph's}`` of constants that lost their names, found by the ops around them.

    ``graph`` are the convolutions of a frozen graph. The names get the prefix of its ops, or that of its kernels where
    all of them still have one.
    """
    own = {convolution.op: convolution for convolution in graph}
    prefix = _prefix(own, [original.op for original in originals])
    both = [(own[prefix + original.op], original) for original in originals if prefix + original.op in own]
    kept = {convolution.kernel.removesuffix(original.kernel) for convolution, original in both}
    if len(kept) == 1 and all(convolution.kernel.endswith(original.kernel) for convolution, original in both):
        (prefix,) = kept
    wanted = [pair for each in both for pair in _correspondence(*each, prefix, dialect)]
    return {name: there for there, name in wanted if there != name}


def _correspondence(
    convolution: Convolution, original: Convolution, prefix: str, dialect: Dialect
) -> Iterator[tuple[str, str]]:
    """Yield the graph's constants around one convolution, each with the name that the original's variable has."""
    yield convolution.kernel, prefix + original.kernel
    for role, name in original.norm.items():
        if role in convolution.norm:
            yield convolution.norm[role], prefix + name
    if original.bias is not None and convolution.bias is not None:
        yield convolution.bias, prefix + original.bias
    if original.norm and convolution.bias is not None:
        yield convolution.bias, bias_beside(prefix + original.kernel, dialect)


def _prefix(ops: Collection[str], originals: Sequence[str]) -> str:
    """Return what stands before most of the original's ops in a graph."""
    index = tails(ops, "/")
    found = Counter(prefix for original in originals for _, prefix in index.find(original))
    return found.most_common(1)[0][0] if found else ""


def folded_norms(
    originals: Sequence[Convolution], table: Table, dialect: Dialect, names: Mapping[str, str], entries: Collection[str]
) -> list[Norm]:
    """Return the batch norms that ``entries`` lack altogether, behind convolutions that have a bias instead."""
    layers = {named.name: layer for layer in table.layers for named in layer.tensors(table.record(ORIGINAL)).values()}
    kernels = {pair.source: pair.target for pair in table.pairs(ORIGINAL, dialect.name, table.parts)}
    found = []
    for original in originals:
        kernel, layer = names.get(kernels.get(original.kernel, "")), layers.get(original.norm.get("mean", ""))
        if kernel is None or layer is None:
            continue
        bias = bias_beside(kernel, dialect)
        tensors = {role: names[named.name] for role, named in layer.tensors(dialect).items() if named.name in names}
        absent = not any(has_variable(name, entries) for name in tensors.values())
        if tensors and absent and bias not in names.values() and has_variable(bias, entries):
            found.append(Norm(bias, tensors, original.epsilon))
    return found


def unfolded(norm: Norm, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the tensors of a folded batch norm that computes ``values + bias``: beta is the convolution's bias."""
    from porter.graph.rewrite.widen import shortest

    gamma, variance = unit_norm(shortest(norm.epsilon))
    fills = {"gamma": gamma, "mean": np.float32(0), "variance": variance}
    made = {}
    for suffix in ("", SHADOW_SUFFIX):
        bias = entries.get(norm.bias + suffix)
        if bias is not None:
            dtype = np.result_type(bias.dtype, np.float32)  # half precision has no such pair
            for role, name in norm.tensors.items():
                full = Entry(bias.shape, dtype, partial(np.full, bias.shape, fills.get(role, 0), dtype))
                made[name + suffix] = bias if role == "beta" else full
    return made


def sentence(count: int, of: int) -> str:
    """Say that ``count`` of the model's ``of`` batch norms are folded, and how they are ported."""
    which = "the batch norms" if count == of else f"{count} of {of} batch norms"
    return (
        f"{which} are folded into the convolutions: beta is the convolution's bias, and gamma and variance change "
        f"nothing, with |gamma / sqrt(variance + epsilon) - 1| < {LARGEST_ERROR:g}"
    )
