"""keras.applications' own networks take porter's .h5 and .weights.h5 by their own loaders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL, seeded_variables
from helpers.logits import judged
from porter import port
from porter.catalog.goldens import recorded
from porter.catalog.models import find_arch
from porter.formats.open import open_checkpoint
from porter.mapping.table import Table
from porter.runners.golden import golden_images
from porter.verbs.seed import seed


@pytest.fixture(scope="module")
def written(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("keras")
    for name in ("m.h5", "m.weights.h5"):
        port(SMALL, "tf", "keras", checkpoint=small, out=folder / name)
    return folder


def theirs(weights: Path | None = None) -> Any:
    import keras

    return keras.applications.MobileNet(
        (128, 128, 3), alpha=0.25, classes=1001, weights=None if weights is None else str(weights),
        classifier_activation=None,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["m.h5", "m.weights.h5"])
def test_the_constructor_takes_the_file(tf: Any, written: Path, name: str) -> None:
    images = golden_images(recorded(SMALL).input_size).astype(np.float32)
    assert judged(np.asarray(theirs(written / name)(images)), SMALL)


def test_an_h5_is_loaded_by_name_too(tf: Any, written: Path) -> None:
    model = theirs()
    model.load_weights(written / "m.h5", by_name=True)
    images = golden_images(recorded(SMALL).input_size).astype(np.float32)
    assert judged(np.asarray(model(images)), SMALL)


def test_its_published_form_comes_back(tf: Any, written: Path, tmp_path: Path) -> None:
    """keras.applications' releases are legacy .h5 files of weights alone, with their layers' names."""
    theirs(written / "m.h5").save_weights(tmp_path / "theirs.weights.h5")
    _save_published(theirs(written / "m.h5"), tmp_path / "published.h5")
    for name in ("theirs.weights.h5", "published.h5"):
        out = tmp_path / f"{name}.ckpt"
        port(SMALL, "keras", "tf", checkpoint=tmp_path / name, out=out)
        back, want = open_checkpoint(out), seeded_variables(SMALL)
        assert {key: value.tobytes() for key, value in back.items()} == {k: v.tobytes() for k, v in want.items()}


FAMILIES = [
    *("mobilenet_v2_0.35_96", "mobilenet_v3_small_1.0_224", "mobilenet_v3_small_minimalistic_1.0_224", "nasnet_mobile"),
    *("resnet_v1_50", "resnet_v2_50", "inception_v3", "inception_resnet_v2", "vgg_16"),
]
"""The smallest model of each family that keras.applications has."""


@pytest.mark.slow
@pytest.mark.parametrize("model", FAMILIES)
def test_every_constructor_puts_each_tensor_of_the_file_in_its_place(tmp_path: Path, model: str) -> None:
    """It reads layers by their order alone; tests/runners/test_library_side.py compares what they compute.

    A constructor calls the network's load_weights, which takes the second file.
    """
    keras: Any = pytest.importorskip("keras")
    arch = find_arch(model)
    table, checkpoint = Table.load(arch.table), seed(model, tmp_path / "s.ckpt").out
    first, second = (
        port(model, "tf", "keras", checkpoint=checkpoint, out=tmp_path / name) for name in ("m.h5", "m.weights.h5")
    )
    entry, record = table.networks["keras"], table.record("keras")
    arguments = entry.filled(arch, num_classes=arch.num_classes, input_size=arch.input_size, in_channels=3)
    keras.utils.clear_session()  # it numbers its unnamed layers
    constructor = getattr(keras.applications, entry.constructor_of(arch))
    network = constructor(**arguments | {"weights": str(first.out)})
    want = {record.unscoped(key): value.load() for key, value in first.translation.entries.items()}
    assert wrong(network, want) == [], "m.h5"
    for weight in network.weights:
        weight.assign(np.full(weight.shape, np.nan))
    network.load_weights(second.out)
    assert wrong(network, want) == [], "m.weights.h5"


def wrong(network: Any, want: Mapping[str, np.ndarray]) -> list[str]:
    """Return the tensors that are not as wanted, or not there, and those that nobody wants."""
    got = {f"{layer.name}/{weight.name}": np.asarray(weight) for layer in network.layers for weight in layer.weights}
    return [name for name in {**got, **want} if not np.array_equal(got.get(name, ()), want.get(name, ()))]


def _save_published(model: Any, path: Path) -> None:
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
