"""Reads PyTorch's .pth, a state dict or a trainer's checkpoint, as weights only, so that nothing in it is executed."""

from __future__ import annotations

import re
import warnings
import zipfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from porter.errors import FormatError
from porter.files.installed import require_package
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.dtypes import unread
from porter.formats.torch.state_dict import HARMLESS, find_state_dict
from porter.formats.zip import check_contents, open_archive

if TYPE_CHECKING:
    import torch

_FOREIGN = re.compile(r"GLOBAL (\S+) was not an allowed global|Trying to (?:load|call) (?:unsupported )?\S+ (\S+)")
"""The messages in which PyTorch's weights-only unpickler names a forbidden call."""


def read_pth(path: Path) -> Checkpoint:
    """Read the state dict in a .pth file: PyTorch 1.6's zip, or the pickles before it. See `find_state_dict`.

    A zip's members are compared with their checksums before anything is unpickled, because PyTorch does not; the older
    form has no checksums. Raises FormatError, or MissingPackageError without torch.
    """
    require_package("torch", "torch", f"reading {path}")
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped:
        _check_archive(path)
    try:
        found = find_state_dict(_unpickled(path, zipped))
    except FormatError as error:
        raise FormatError(f"{path} {error}") from None
    entries = {}
    asides = dict(found.asides)
    for name, tensor in found.tensors.items():
        try:
            dtype = _values(tensor.new_empty(0)).dtype
        except (RuntimeError, TypeError):
            asides[name] = _why_not(tensor)
            continue
        entries[name] = Entry(tuple(tensor.shape), dtype, partial(_load, path, name, tensor))
    return Checkpoint(path, f"PyTorch state dict {found.where}".rstrip(), entries, asides)


def _check_archive(path: Path) -> None:
    """Compare a zip's members with their checksums. Raises FormatError."""
    with open_archive(path, "PyTorch file", ratio=1) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise FormatError(
                    f"{path}: its member {member.filename} is compressed, which PyTorch never does: "
                    "save it with torch.save again"
                )
        check_contents(archive, path)


def _unpickled(path: Path, zipped: bool) -> Any:
    """Return a file's contents, loaded as weights only. Raises FormatError, without the file's name."""
    import torch

    try:
        allowed = getattr(torch.serialization, "safe_globals", nullcontext)  # PyTorch 2.4 has none
        with warnings.catch_warnings(), path.open("rb") as file, allowed(HARMLESS):
            warnings.simplefilter("ignore")  # about archives that the next lines refuse
            # torch.load reads any path of this suffix as safetensors, and can map paths only.
            misnamed = path.name.endswith(".safetensors")
            return torch.load(
                file if misnamed else path, map_location="cpu", weights_only=True, mmap=zipped and not misnamed
            )
    except Exception as error:  # a damaged pickle may raise any error; PyTorch's messages advise to run it
        found = _FOREIGN.search(str(error))
        if found:
            raise FormatError(
                f"pickles a call of {found[1] or found[2]}, which porter does not run: save model.state_dict()"
            ) from None
        raise FormatError(
            "is damaged, or pickles more than tensors, which porter does not run: "
            "copy it again or save model.state_dict()"
        ) from None


def _values(tensor: torch.Tensor) -> np.ndarray:
    import torch

    # numpy has no bfloat16; float32 holds each of its values.
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)
    return array


def _load(path: Path, name: str, tensor: torch.Tensor) -> np.ndarray:
    stored = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > stored:
        raise FormatError(
            f"{path}: {name} repeats {stored} stored bytes for the shape {tuple(tensor.shape)}: save it .contiguous()"
        )
    return _values(tensor)


def _why_not(tensor: torch.Tensor) -> str:
    """Return the role of a tensor that numpy cannot hold."""
    for what in (tensor.layout, tensor.device):
        if str(what) not in ("torch.strided", "cpu"):
            return f"tensor that is {str(what).removeprefix('torch.')}"
    return unread(str(tensor.dtype).removeprefix("torch."))
