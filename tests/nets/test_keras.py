"""Keras: goldens of every model, the torch backend, MobileNet V1's files, and keras.applications' network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import seeded_variables
from helpers.goldens import goldens
from helpers.processes import HANG
from porter import load, port
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.errors import MappingError, PorterError
from porter.formats.open import open_checkpoint
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.parity.compare import compare
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.runner import run_all
from porter.verbs.verify import verify_golden

NAME = "mobilenet_v1_0.25_128"
TABLE = Table.load("mobilenet_v1")

keras: Any = pytest.importorskip("keras")


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("name", goldens("keras"))
def test_keras_on_tensorflow_computes_what_the_original_computes(name: str) -> None:
    golden = recorded(name)
    report = verify_golden(find_arch(golden.model), ["keras"], golden).ports["keras"]
    assert report, str(report)
    assert [row.endpoint for row in report.rows] == list(golden.endpoint_shapes)
    assert all(row.exact is not None for row in report.rows)


@pytest.mark.parametrize("model", [NAME])
def test_keras_on_torch_is_judged_in_float32(model: str) -> None:
    command = [sys.executable, "-m", "porter.cli.main", "verify", model, "--framework", "keras"]
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("parity holds at 30 endpoints: float32 rounding")


def keras_tensors(name: str = NAME) -> Any:
    seeds = seeded_checkpoint(recorded(name))
    return translate(seeds, find_arch(name), "tf", "keras").as_checkpoint(seeds)


def test_keras_applications_filled_by_name_gives_the_same_logits() -> None:
    from porter.nets.build_keras import fill
    from porter.runners.keras import KerasRunner

    name = "mobilenet_v1_1.0_224"
    keras.utils.clear_session()  # so that its average pool has the name of a first one
    model = keras.applications.MobileNet(weights=None, classes=1001, classifier_activation=None)
    fill(model, TABLE, keras_tensors(name))
    golden = recorded(name)
    reference, pictures = GoldenRunner(golden, TABLE), golden_images(224)
    got = {p: reference.probes.reduce(run) for p, run in run_all(KerasRunner(model, TABLE), pictures).items()}
    report = compare(got, run_all(reference, pictures), TABLE.logits)
    assert report, str(report)
    assert len(report.rows) == 30


def test_keras_applications_is_another_network_at_an_odd_size() -> None:
    from porter.nets.build_keras import fill
    from porter.runners.keras import KerasRunner

    golden = recorded("mobilenet_v1_0.25_128@129")
    model = keras.applications.MobileNet((129, 129, 3), 0.25, weights=None, classes=1001, classifier_activation=None)
    fill(model, TABLE, keras_tensors())
    reference, pictures = GoldenRunner(golden, TABLE), golden_images(129)
    (entry,) = (entry for entry in TABLE.differs if entry.dialect == "keras")
    assert (entry.library, entry.measured) == ("keras.applications.MobileNet", golden.name)
    for images in (pictures, pictures.astype(np.float64)):
        outputs = KerasRunner(model, TABLE)(images)
        want = reference(images)[TABLE.logits]
        apart = np.abs(outputs[TABLE.logits] - want).max() / want.std()
        assert apart == pytest.approx(entry.logits, abs=0.00005)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5", ".safetensors"])
def test_a_file_round_trips_bit_for_bit(save: Any, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"mobilenet{suffix}"
    port(NAME, target="keras", checkpoint=save(seeded_variables()), out=out)
    model = load(NAME, "keras", weights=out)
    want = keras_tensors()
    unknown = [variable.path for variable in model.variables if variable.path not in want]
    assert len(unknown) == 1
    assert unknown[0].startswith("seed_generator")
    for variable in model.variables:
        if variable.path in want:
            assert np.array_equal(keras.ops.convert_to_numpy(variable), want[variable.path]), variable.path
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_keras_loads_the_files_without_porter(save: Any, tmp_path: Path) -> None:
    """One process loads every kind of file."""
    checkpoint, suffixes = save(seeded_variables()), (".keras", ".h5")
    for suffix in suffixes:
        port(NAME, target="keras", checkpoint=checkpoint, out=tmp_path / f"mobilenet{suffix}")
    code = (
        "import sys; sys.modules['porter'] = None; import keras, numpy as np\n"
        f"for suffix in {suffixes}:\n"
        "    model = keras.saving.load_model(f'mobilenet{suffix}', compile=False)\n"
        "    logits = model(np.load('pictures.npy'), training=False)\n"
        "    np.save(f'{suffix}.npy', keras.ops.convert_to_numpy(logits))"
    )
    np.save(tmp_path / "pictures.npy", golden_images(128))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANG, capture_output=True, cwd=tmp_path)
    golden = recorded(NAME).values()["logits_float32"]
    for suffix in suffixes:
        got = np.load(tmp_path / f"{suffix}.npy")
        np.testing.assert_allclose(got, golden, rtol=0, atol=1e-4 * golden.std(), err_msg=suffix)


def test_two_equal_layers_built_in_another_order_are_not_swapped(tmp_path: Path) -> None:
    """Keras numbers weights by class and order, but porter reads the names beside them."""

    def build(order: list[str]) -> Any:
        images = keras.Input((4, 4, 2))
        branches = {name: keras.layers.Conv2D(2, 1, name=name)(images) for name in order}
        return keras.Model(images, keras.layers.Add(name="sum")([branches[name] for name in order]))

    model = build(["a", "b"])
    for suffix in (".keras", ".weights.h5", ".h5"):
        path = tmp_path / f"model{suffix}"
        (model.save_weights if suffix == ".weights.h5" else model.save)(path)
        stored = open_checkpoint(path)
        for name in ("a", "b"):
            assert np.array_equal(stored[f"{name}/kernel"], keras.ops.convert_to_numpy(model.get_layer(name).kernel))
        stored_order = open_checkpoint(tmp_path / f"model{suffix}").entries
        assert {*stored_order} == {"a/kernel", "a/bias", "b/kernel", "b/bias"}


def test_what_does_not_fit_is_refused(save: Any, tmp_path: Path) -> None:
    out = tmp_path / "mobilenet.keras"
    port(NAME, target="keras", checkpoint=save(seeded_variables()), out=out)
    with pytest.raises(PorterError, match="the head has another shape than the target's"):
        load(NAME, "keras", weights=out, num_classes=10)
    with pytest.raises(MappingError, match=r"the file holds MobileNet V1 0.25, .*take `model=.mobilenet_v1_0.25_224.`"):
        load("mobilenet_v1_0.5_128", "keras", weights=out)
    with pytest.raises(PorterError, match=r"for torch: end it in \.safetensors or \.pth"):
        port(NAME, target="torch", checkpoint=save(seeded_variables()), out=out)


def test_other_sizes_classes_and_multipliers_go_through_the_same_builder() -> None:
    from porter.nets.variables_keras import without_values

    with without_values():
        model = load("mobilenet_v1", "keras", num_classes=7, input_size=150, multiplier=0.35)
        features = load(NAME, "keras", num_classes=0)
    assert model.output_shape == (None, 7)
    assert features.output_shape == (None, 256)
    with pytest.raises(ValueError, match="take a smaller input_size or global_pool=True"):
        load(NAME, "keras", input_size=257)
    assert load(NAME, "keras", input_size=300, global_pool=True).output_shape == (None, 1001)


@pytest.mark.parametrize("source", ["tf", "torch", "keras"])
@pytest.mark.parametrize("target", ["tf", "torch", "keras"])
def test_any_dialect_translates_into_any_other(save: Any, tmp_path: Path, source: str, target: str) -> None:
    checkpoint = save(seeded_variables())
    there, direct = tmp_path / "there.safetensors", tmp_path / "direct.safetensors"
    back = tmp_path / "back.safetensors"
    port(NAME, source="tf", target=source, checkpoint=checkpoint, out=there)
    port(NAME, source=source, target=target, checkpoint=there, out=back)
    port(NAME, source="tf", target=target, checkpoint=checkpoint, out=direct)
    ours, want = open_checkpoint(back), open_checkpoint(direct)
    assert set(ours) == set(want)
    assert all(np.array_equal(ours[name], want[name]) for name in want)


def test_a_keras_file_ports_back_to_torch(save: Any, tmp_path: Path) -> None:
    out, back = tmp_path / "mobilenet.keras", tmp_path / "back.safetensors"
    port(NAME, target="keras", checkpoint=save(seeded_variables()), out=out)
    port(NAME, source="keras", target="torch", checkpoint=out, out=back)
    stem = seeded_variables()["MobilenetV1/Conv2d_0/weights"]
    assert np.array_equal(open_checkpoint(back)["conv_stem.weight"], stem.transpose(3, 2, 0, 1))


@pytest.mark.parametrize("config", ["{}", "[]", "null", '{"config": {"layers": [{}]}}', '{"config": {"layers": 5}}'])
def test_a_malformed_archive_is_one_sentence(save: Any, tmp_path: Path, config: str) -> None:
    out = tmp_path / "mobilenet.keras"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(PorterError, match=r"mobilenet\.keras (is not a|does not have Keras' layout)"):
        open_checkpoint(out)


@pytest.mark.parametrize("backend", ["nonsense", "jax"])
def test_a_backend_that_is_not_there_is_one_sentence(backend: str) -> None:
    code = "import sys; sys.modules['jax'] = None; from porter.cli.main import main; "
    code += f"main(['verify', {NAME!r}, '--framework', 'keras'])"
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("port: Keras' backend is not installed")
    assert "Traceback" not in done.stderr


def test_pictures_of_another_size_than_a_models_are_refused() -> None:
    import keras

    from porter.errors import PorterError
    from porter.mapping.table import Table
    from porter.runners.keras import KerasRunner

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()], name="net")
    with pytest.raises(PorterError, match="net takes images of 8x8, not 9x8: give images of that size"):
        KerasRunner(model, Table.load("mobilenet_v1"))(np.zeros((1, 9, 8, 3), np.float32))
