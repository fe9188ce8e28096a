"""Finds the state dict in what a trainer saved: alone, or beside its optimizer, its arguments and an average."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from porter.errors import FormatError, listing, plural
from porter.formats.roles import SHADOW_SUFFIX

if TYPE_CHECKING:
    import torch

_DEEPEST = 3
_OTHERS = re.compile(r"optim|sched|scaler|loss|criterion|metric|rng", re.IGNORECASE)
"""Keys of a trainer's own state, which holds tensors by name too."""
_AVERAGE = re.compile(r"ema|averag|swa", re.IGNORECASE)
_WRAPPER = "module."
"""What DataParallel, and timm's ModelEma, put before every name."""


class Inert:
    """Stands for an object that a trainer pickles beside the weights; it keeps and runs nothing."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


HARMLESS = [
    type(name, (Inert,), {"__module__": module})
    for module, names in {
        "argparse": ["Namespace"],
        "numpy": ["dtype", "ndarray"],
        "numpy.core.multiarray": ["scalar", "_reconstruct"],
        "numpy._core.multiarray": ["scalar", "_reconstruct"],
        "types": ["SimpleNamespace"],
        "pathlib": ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"],
    }.items()
    for name in names
]
"""Stand-ins for the classes that training scripts pickle beside the weights, under their names."""


class Found(NamedTuple):
    """A file's tensors by name, and where they were, in words; empty where they are all of the file."""

    tensors: dict[str, torch.Tensor]
    where: str
    asides: dict[str, str]


def find_state_dict(contents: Any) -> Found:
    """Return the one state dict in ``contents``: what torch.load returned.

    If an average of it lies beside it, as ``state_dict_ema`` beside ``state_dict``, its tensors become moving averages.
    Raises FormatError, without the file's name, if there is no state dict or if there are several.
    """
    found = dict(_state_dicts(contents, ""))
    if not found and isinstance(contents, Mapping) and _tensors_in(contents):
        found = {"": contents}
    if not found:
        raise FormatError("does not hold a state dict, tensors by name: save model.state_dict()")
    averages = {key for key in found if _AVERAGE.search(key)}
    if len(found) == 2 and len(averages) == 1:
        (average,) = averages
        (raw,) = found.keys() - averages
        tensors = _tensors_in(found[raw])
        if shadows := _shadows(tensors, _tensors_in(found[average])):
            return Found(tensors | shadows, f"in {raw!r}, averages in {average!r}", _asides(found[raw]))
    if len(found) > 1:
        shown = listing(f"{key}, {plural(len(_tensors_in(held)), 'tensor')}" for key, held in found.items())
        raise FormatError(f"holds several state dicts: save the one that you want by itself, with torch.save{shown}")
    ((key, held),) = found.items()
    return Found(_tensors_in(held), f"in {key!r}" if key else "", _asides(held))


def _asides(held: Mapping[Any, Any]) -> dict[str, str]:
    tensors = _tensors_in(held)
    return {str(name): "no tensor" for name in held if name not in tensors}


def _state_dicts(value: Any, key: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield every state dict in ``value`` with its keys, outermost first."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return
    tensors = _tensors_in(value)
    # torch.nn.Module.get_extra_state may return anything.
    if tensors and all(name in tensors or name.endswith("_extra_state") for name in value):
        yield key, value
    elif key.count(".") < _DEEPEST:
        for name, inner in value.items():
            if not _OTHERS.search(name):
                yield from _state_dicts(inner, f"{key}.{name}".lstrip("."))


def _tensors_in(value: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    import torch

    return {name: item for name, item in value.items() if isinstance(name, str) and isinstance(item, torch.Tensor)}


def _shadows(raw: Mapping[str, torch.Tensor], average: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of ``average`` as moving averages of ``raw``; none if their names differ."""
    for wrapper in ("", _WRAPPER):
        bare = {name.removeprefix(wrapper): tensor for name, tensor in average.items()}
        if bare.keys() == raw.keys():
            return {name + SHADOW_SUFFIX: tensor for name, tensor in bare.items()}
    return {}
