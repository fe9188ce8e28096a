"""Packed files that would unpack without end are refused before they take the memory."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from porter.errors import FormatError
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.source import read_graph


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (open_checkpoint, r"bomb.pb unpacks to over [\d,]+ bytes, which weights never do"),
        (read_graph, r"bomb.pb unpacks from [\d,]+ bytes to more than [\d,]+, which no graph does"),
    ],
)
def test_a_graph_that_unpacks_without_end(tmp_path: Path, read: Callable[[Path], object], why: str) -> None:
    path = tmp_path / "bomb.pb"
    path.write_bytes(gzip.compress(bytes((1 << 27) + 1)))
    with pytest.raises(FormatError, match=why):
        read(path)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_keras_archive_that_unpacks_without_end(tmp_path: Path, member: str) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (1 << 24) if member == "config.json" else b"{}")
        archive.writestr("model.weights.h5", bytes(1 << 24))
    with pytest.raises(
        FormatError, match=rf"bomb.keras: its member {member} claims to unpack from \d+ bytes to 16777216"
    ):
        open_checkpoint(path)
