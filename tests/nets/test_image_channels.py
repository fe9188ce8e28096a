"""Networks for images of any number of channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import porter
from helpers.checkpoints import SMALL, seeded_variables
from helpers.variants import as_checkpoint, with_channels
from porter.catalog.models import ARCHS
from porter.errors import PorterError
from porter.export.model_folder import CARD
from porter.files.json import read_json
from porter.mapping.shapes import IMAGE_CHANNELS, axis_sizes
from porter.mapping.table import Table
from porter.verbs.port import port

TABLES = {arch.table: arch for arch in ARCHS.values()}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_marks_the_stem(name: str) -> None:
    table = Table.load(name)
    stems = [pair for pair in table.pairs("tf", "torch") if pair.stem]
    if not stems:  # a separable one, as Inception V2's: images of other channels would change its pointwise kernel too
        sizes = axis_sizes(TABLES[name], table, "tf")
        pairs = [pair for pair in table.pairs("tf", "tf") if IMAGE_CHANNELS in map(sizes[pair.source].get, "IC")]
        assert {pair.kind.removesuffix("_bias") for pair in pairs} == {"separable"}
        return
    assert len(stems) == 1
    with torch.device("meta"):
        network = TABLES[name].builder("torch")(num_classes=7, in_channels=5, **TABLES[name].options)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert [key for key, shape in shapes.items() if shape[1:2] == (5,)] == [stems[0].target]


@pytest.mark.parametrize("framework", ["torch", "keras"])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_for_other_images_is_built_and_filled(tmp_path: Path, framework: str, channels: int) -> None:
    pytest.importorskip(framework)
    given = as_checkpoint(with_channels(seeded_variables(), channels))
    folder = tmp_path / "m"
    np.savez(tmp_path / "given.npz", **dict(given))
    port(SMALL, target=framework, checkpoint=tmp_path / "given.npz", out=f"{folder}/")
    assert read_json(folder / "config.json")["in_channels"] == channels
    what = {1: "128x128 grayscale,", 4: "128x128 with 4 channels,"}[channels]
    assert what in (folder / CARD).read_text(encoding="utf-8")
    network = porter.load(SMALL, framework, folder)
    stem = network.conv_stem.weight if framework == "torch" else network.get_layer("conv1").kernel
    assert stem.shape[1 if framework == "torch" else 2] == channels
    porter.load(SMALL, framework, folder, in_channels=channels)
    with pytest.raises(
        PorterError, match=f"has weights for images of {channels} channels?, not 3: leave `in_channels`"
    ):
        porter.load(SMALL, framework, folder, in_channels=3)


def test_an_empty_network_takes_image_channels() -> None:
    assert porter.load(SMALL, in_channels=2).conv_stem.weight.shape == (8, 2, 3, 3)
    assert porter.load(SMALL).conv_stem.weight.shape == (8, 3, 3, 3)
    with pytest.raises(PorterError, match="`in_channels` must be at least 1, got 0"):
        porter.load(SMALL, in_channels=0)
