"""The words for what a file is, and the note where its name has another input size than the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.catalog.models import find_arch
from porter.mapping.description import size_in_name, size_note

SIZES = {224, 192, 160, 128}


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("mobilenet_v1_0.25_224.ckpt", 224),
        ("mobilenet_v1_1.0_224_quant.ckpt", 224),
        ("mobilenet_v1_0.25_128/model.ckpt-12345", 128),
        ("mobilenet_v1_0.25_224/mobilenet_v1_0.25_128.ckpt", 128),  # the file's own name counts
        ("model.ckpt-2240", None),
        ("run_224_128.ckpt", None),  # two sizes say nothing
        ("model.ckpt", None),
    ],
)
def test_the_size_in_a_name_is_one_whole_number(path: str, size: int | None, tmp_path: Path) -> None:
    assert size_in_name(tmp_path / path, SIZES) == size


def test_a_note_says_where_name_and_model_differ() -> None:
    path, arch = Path("mobilenet_v1_0.25_224.ckpt"), find_arch("mobilenet_v1_0.25_128")
    note = size_note(path, arch)
    assert note is not None
    assert "says 224, but mobilenet_v1_0.25_128 takes images of 128: shapes cannot tell" in note
    assert "port it as mobilenet_v1_0.25_224" in note
    assert size_note(path, find_arch("mobilenet_v1_0.25_224")) is None
    assert size_note(Path("nasnet_224"), find_arch("nasnet_large")) is None
