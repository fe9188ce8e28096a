"""Terms: patterns of ops as text, and match, which finds them in a graph.

    Maximum($x, Mul($x, #slope))

``Op(…)`` is a node. ``$x`` is a tensor of the network, ``#slope`` a constant scalar, ``#6`` that very number,
``%gamma`` a tensor that does not depend on the input, such as a weight, ``&keep`` any tensor, and ``?`` any other. The
same name stands for the same tensor or number. A name in small letters is a rule of the table, whose patterns stand
for it with its argument for @.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.graph import Node, Ref
from porter.graph.rewrite.widen import shortest

PASSING = frozenset("Identity StopGradient PreventGradient CheckNumerics Snapshot Cast".split())
_ONE_NAME = {
    "AddV2": "Add",
    "BiasAdd": "Add",
    "Div": "RealDiv",
    "FusedBatchNormV2": "FusedBatchNorm",
    "FusedBatchNormV3": "FusedBatchNorm",
    "GreaterEqual": "Greater",
}
_COMMUTATIVE = frozenset({"Add", "Mul", "Maximum", "Minimum", "SquaredDifference"})
_CLOSE = 1e-4
"""Authors type 0.1667 for a sixth."""
_FARTHEST = 20
_TOKEN = re.compile(r"[$#%&?@][\w.\-]*|\w+|[()]")


@dataclass(frozen=True)
class Term:
    """One piece of a pattern. ``kind`` is an op, any of several terms, or the sign of a name."""

    kind: str
    name: str = ""
    parts: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Match:
    """What a pattern's names stand for, by name: tensors with their sign, and numbers.

    ``nodes`` are the network's nodes in it, the last one first. ``ways`` has ``rule=pattern`` for each rule with
    several patterns: the op or rule with which the fitting one ends.
    """

    tensors: Mapping[str, Ref]
    numbers: Mapping[str, float]
    nodes: tuple[str, ...]
    ways: tuple[str, ...] = ()


def parse(text: str, rules: Mapping[str, Sequence[str]]) -> Term:
    """Return the term that ``text`` writes; ``rules`` are the table's. Raises ValueError if it is no term."""
    tokens = _TOKEN.findall(text)
    term = _term(tokens, rules, None)
    if tokens:
        raise ValueError(f"{text} goes on with {tokens[0]} behind its term")
    return term


def _term(tokens: list[str], rules: Mapping[str, Sequence[str]], argument: Term | None) -> Term:
    token = tokens.pop(0)
    if token == "@":
        if argument is None:
            raise ValueError("@ stands outside a rule")
        return argument
    if token[0] in "$#%&?":
        return Term(token[0], token[1:])
    parts = []
    if tokens and tokens[0] == "(":
        tokens.pop(0)
        while tokens[0] != ")":
            parts.append(_term(tokens, rules, argument))
        tokens.pop(0)
    if token in rules:
        inner = parts[0] if parts else argument
        found = [_all(rule, rules, inner) for rule in rules[token]]
        return found[0] if len(found) == 1 else Term("any", token, tuple(found))
    return Term("op", token, tuple(parts))


def _all(text: str, rules: Mapping[str, Sequence[str]], argument: Term | None) -> Term:
    return _term(_TOKEN.findall(text), rules, argument)


def roots(term: Term) -> set[str]:
    """Return the ops with which a term may end."""
    if term.kind == "any":
        return set().union(*map(roots, term.parts))
    return {term.name} if term.kind == "op" else set()


def op_of(node: Node) -> str:
    """Return the one name of an op and its variants."""
    return _ONE_NAME.get(node.op, node.op)


def match(data: DataPath, term: Term, ref: Ref) -> Match | None:
    """Return how ``term`` fits the tensor ``ref``, or None."""
    return next(_matches(data, term, ref, Match({}, {}, ())), None)


def _matches(data: DataPath, term: Term, ref: Ref, so_far: Match) -> Iterator[Match]:
    """Yield every way in which a term fits a tensor, given what its names stand for so far."""
    match term.kind:
        case "?":
            yield so_far
        case "any":
            for part in term.parts:
                chosen = replace(so_far, ways=(*so_far.ways, f"{term.name}={part.name}"))
                yield from _matches(data, part, ref, chosen)
        case "op":
            yield from _op_matches(data, term, ref, so_far)
        case "#":
            yield from _number_matches(data, term.name, ref, so_far)
        case _:
            yield from _tensor_matches(data, term, ref, so_far)


def _tensor_matches(data: DataPath, term: Term, ref: Ref, so_far: Match) -> Iterator[Match]:
    if ref.node not in data.nodes:
        ref, _ = _origin(data, ref)
    if term.kind != "&" and (ref.node in data.nodes and ref.node not in data.shaping) != (term.kind == "$"):
        return
    name = term.kind + term.name
    known = so_far.tensors.get(name)
    if known is None:
        yield replace(so_far, tensors={**so_far.tensors, name: ref})
    elif known == ref or _origin(data, known)[0] == _origin(data, ref)[0] or _equal(data, known, ref):
        yield so_far


def _number_matches(data: DataPath, name: str, ref: Ref, so_far: Match) -> Iterator[Match]:
    value = data.shapes.values.get(ref)
    if value is None or value.size != 1 or value.item() is None:
        return
    number = shortest(float(value.item()))
    wanted = float(name) if name[:1].isdigit() or name[:1] == "-" else so_far.numbers.get(name)
    if wanted is None:
        yield replace(so_far, numbers={**so_far.numbers, name: number})
    elif abs(number - wanted) <= _CLOSE * max(1, abs(wanted)):
        yield so_far


def _op_matches(data: DataPath, term: Term, ref: Ref, so_far: Match) -> Iterator[Match]:
    ref, passed = _origin(data, ref)
    node = data.graph.nodes.get(ref.node)
    if node is None or op_of(node) != term.name or (term.parts and len(node.inputs) < len(term.parts)):
        return
    inside = ref.node in data.nodes
    here = replace(so_far, nodes=(*so_far.nodes, *passed, *((ref.node,) if inside else ())))
    orders = [node.inputs]
    if term.name in _COMMUTATIVE and len(node.inputs) == 2:
        orders.append(node.inputs[::-1])
    for inputs in orders:
        yield from _all_match(data, term.parts, inputs, here)


def _all_match(data: DataPath, terms: Sequence[Term], refs: Sequence[Ref], so_far: Match) -> Iterator[Match]:
    if not terms:
        yield so_far
        return
    for found in _matches(data, terms[0], refs[0], so_far):
        yield from _all_match(data, terms[1:], refs[1:], found)


def _origin(data: DataPath, ref: Ref) -> tuple[Ref, tuple[str, ...]]:
    """Return the tensor whose values ``ref`` has, and the nodes of the network that only pass it on.

    Keras 3 reshapes the weights of its norms to the rank of their input.
    """
    passed = []
    node = data.graph.nodes.get(ref.node)
    for _ in range(_FARTHEST):
        if node is None or not node.inputs or not (node.op in PASSING or data.only_reshapes(node)):
            break
        if ref.node in data.nodes:
            passed.append(ref.node)
        ref = node.inputs[0]
        node = data.graph.nodes.get(ref.node)
    return ref, tuple(passed)


def _equal(data: DataPath, a: Ref, b: Ref) -> bool:
    values = data.shapes.values.get(a), data.shapes.values.get(b)
    return values[0] is not None and values[1] is not None and bool(np.array_equal(values[0], values[1]))
