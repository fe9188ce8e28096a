"""Names of a graph as names of Python: identifiers alone, so that no name in a file becomes code.

A scope's name may be any text of any length. What stands in source has ASCII letters, digits and underscores, and is no
word of Python, of torch.nn.Module or of the source itself.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Sequence

_LONGEST = 40
_SHOWN = 100
_MODULE = frozenset(
    "T_destination add_module append apply bfloat16 buffers call_super_init children clear compile cpu cuda double "
    "dump_patches eval extend extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half "
    "insert ipu items keys load_state_dict modules mtia named_buffers named_children named_modules named_parameters "
    "parameters pop requires_grad_ set_extra_state set_submodule share_memory "
    "state_dict to to_empty train training type update values xpu zero_grad".split()
)
"""Attributes of torch's modules and containers (torch 2) beside register_…: a layer must not replace one."""
_SOURCE = frozenset("self torch nn F Tensor Path OrderedDict load load_file name row x y math".split())
"""Words that the source uses itself."""
RESERVED = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | frozenset(dir(builtins)) | _MODULE | _SOURCE


def words(text: str) -> list[str]:
    """Return the words of a name, in lower case: max, pool, 3a and 3x3 of MaxPool_3a_3x3."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text[:_SHOWN])
    return [word for word in re.split(r"[^0-9a-z]+", split.lower()) if word]


def identifier(text: str, otherwise: str = "layer") -> str:
    """Return a name in snake case that Python, torch.nn.Module and the source leave free."""
    name = "_".join(words(text))[:_LONGEST].strip("_") or otherwise
    name = f"{otherwise}_{name}" if name[0].isdigit() else name
    return f"{name}_" if name in RESERVED or name.startswith("register_") else name


def class_name(text: str, otherwise: str = "Block") -> str:
    """Return a name in camel case, such as ExpandedConv."""
    capital = "_".join(word[0].upper() + word[1:] for word in words(text))
    name = re.sub(r"(?<!\d)_|_(?!\d)", "", capital)[:_LONGEST].strip("_") or otherwise
    name = f"{otherwise}{name}" if name[0].isdigit() else name
    return f"{name}Block" if name in RESERVED else name


def without_numbers(text: str) -> str:
    """Return a name without the numbers that tell repeats apart: expanded_conv of expanded_conv_3."""
    return re.sub(r"_?\d+[a-z]?(?=[_/ ]|$)", "", text) or text


def scopes_of(name: str) -> list[str]:
    """Return the scopes that hold a name, the outer ones first."""
    return [name[:at] for at, letter in enumerate(name) if letter == "/"]


def without_first_numbers(groups: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Return groups of names without the _1 of their scopes, where most names have it.

    Keras 3 exports the second trace of a model, whose layers are called so: conv_1, norm_1, dense_1.
    """
    names = {name for group in groups for name in group}
    plain = {name: re.sub(r"_1(?=/|$)", "", name) for name in names}
    numbered = sum(plain[name] != name for name in names)
    apart = len(set(plain.values())) == len(names)
    return [[plain[name] for name in group] for group in groups] if apart and 2 * numbered > len(names) > 1 else groups


def common_name(names: Sequence[str]) -> str:
    """Return the name that stands for several: the one that most share, or what is left without their numbers."""
    ((most, count), *_) = Counter(names).most_common(1)
    if 2 * count > len(names):
        return most
    ((bare, _), *_) = Counter(without_numbers(name) for name in names).most_common(1)
    return bare


class Namer:
    """Gives out names that are free, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._numbers: dict[tuple[str, str], int] = {}
        """The first number that a name with a mark may still have: those before are taken."""

    def new(self, wanted: str, mark: str = "_") -> str:
        """Return ``wanted``, with ``mark`` and a number behind it if it is taken."""
        name, number = wanted, self._numbers.get((wanted, mark), 2)
        while name in self.taken:
            name, number = f"{wanted}{mark}{number}", number + 1
        self._numbers[wanted, mark] = number
        self.taken.add(name)
        return name


def shown(text: str) -> str:
    """Return a graph's name for a docstring: printable ASCII without quotes and backslashes, of a bounded length."""
    safe = re.sub(r"[^ -~]|[\"\\]", "?", text)
    return safe if len(safe) <= _SHOWN else f"{safe[: _SHOWN - 1]}~"
