"""NASNet-A in Keras, compared piece by piece with slim's own code; its files; Keras' torch backend."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.activations import SIZES, draw
from helpers.places import TESTS
from helpers.processes import HANG
from helpers.slims_nasnet import (
    CASES,
    Case,
    distance,
    slims_cell,
    slims_factorized_reduction,
    slims_numbers,
    slims_plan,
)
from porter import load, port
from porter.catalog.goldens import recorded
from porter.formats.open import open_checkpoint
from porter.mapping.relayout import relayout
from porter.mapping.stored_names import layer_name
from porter.mapping.table import Table
from porter.runners.golden import golden_images
from porter.verbs.seed import seed

keras: Any = pytest.importorskip("keras")

from porter.nets.layers_keras import DropPath, DropPathSchedule, average_pool_same, set_progress  # noqa: E402
from porter.nets.nasnet import design  # noqa: E402
from porter.nets.nasnet import keras as nasnet  # noqa: E402
from porter.nets.nasnet.design import CURRENT, NORMAL, PREVIOUS, REDUCTION, Wiring, plan  # noqa: E402
from porter.nets.nasnet.keras import Cell, Layers, cell_id  # noqa: E402
from porter.nets.variables_keras import give_values, without_values  # noqa: E402

# tf-slim's, of tf-keras.
pytestmark = pytest.mark.filterwarnings("ignore:`.*` is deprecated and will be removed:UserWarning")

CONFIGS = {"large": design.LARGE, "mobile": design.MOBILE, "cifar": design.CIFAR}
WIRINGS = {"normal": NORMAL, "reduction": REDUCTION}
IDS = {"cell_stem_0": "stem_1", "cell_stem_1": "stem_2", "reduction_cell_0": "reduce_6"}
TINY = dataclasses.replace(design.CIFAR, num_cells=3, num_conv_filters=4)


# ---- one cell


@pytest.fixture(scope="module")
def slims(slim: SimpleNamespace) -> Callable[[Case, tuple[int, int]], tuple[np.ndarray, dict[str, np.ndarray]]]:
    """What slim's cell computes of a case, and its variables: run once for all tests of a size."""
    return lru_cache(partial(slims_cell, slim))


def filled(model: Any, variables: dict[str, np.ndarray], table: str) -> Any:
    """Fill all of ``model`` with all of slim's ``variables``, by the table's paths."""
    pairs = {pair.source: pair for pair in Table.load(table).pairs("tf", "keras")}
    assert {pairs[name].target for name in variables} == {variable.path for variable in model.weights}
    used = [(value, pairs[name]) for name, value in variables.items()]
    give_values(model, {p.target: partial(relayout, value, p.source_axes, p.target_axes) for value, p in used})
    return model


def run_ours(
    case: Case,
    variables: dict[str, np.ndarray],
    size: tuple[int, int],
    wiring: Wiring | None = None,
    epsilon: float = design.LARGE.batch_norm_epsilon,
    keep_prob: float | None = None,
) -> np.ndarray:
    """Return what our cell computes of the case's maps in float64."""
    make = Layers(dataclasses.replace(design.LARGE, batch_norm_epsilon=epsilon), "float64")
    id = IDS.get(case.scope, case.scope.removeprefix("cell_"))
    cell = Cell(make, wiring or WIRINGS[case.kind], id, case.filters, keep_prob)
    maps = {name: values for name, values in zip("xp", case.maps(size), strict=True) if values is not None}
    inputs = {name: keras.Input(values.shape[1:], dtype="float64", name=name) for name, values in maps.items()}
    with without_values():
        model = keras.Model(inputs, cell(*inputs.values()))
    return keras.ops.convert_to_numpy(filled(model, variables, case.table)(maps))


@pytest.mark.parametrize("size", [(12, 13), (13, 12)], ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cell_is_slims_cell(slims: Any, case: Case, size: tuple[int, int]) -> None:
    want, variables = slims(case, size)
    assert distance(run_ours(case, variables, size), want) < 1e-13


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_drop_path_spares_is_what_slim_spares(
    slim: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    """Triple every path that drop path may drop: the identities stay as they are."""
    want, variables = slims_cell(slim, case, (12, 13), drop=lambda net, keep_prob: net * 3)
    plain = run_ours(case, variables, (12, 13))
    monkeypatch.setattr(DropPath, "build", lambda self, input_shape: None)
    monkeypatch.setattr(DropPath, "call", lambda self, x: x * 3)
    assert distance(run_ours(case, variables, (12, 13), keep_prob=0.5), want) < 1e-13
    assert min(distance(plain, want), distance(3 * plain, want)) > 1e-3


def swapped(wiring: Wiring) -> Wiring:
    """Return the wiring with the two inputs of its first combination swapped."""
    (left, right), *others = wiring.combinations
    swap = {CURRENT: PREVIOUS, PREVIOUS: CURRENT}
    first = left._replace(state=swap[left.state]), right._replace(state=swap[right.state])
    return wiring._replace(combinations=(first, *others))


def counted(x: Any, stride: int, dtype: str, name: str) -> Any:
    """Pool averages that count their padding."""
    x = keras.layers.ZeroPadding2D(tuple((1 if stride == 1 else size % 2, 1) for size in x.shape[1:3]), dtype=dtype)(x)
    return keras.layers.AveragePooling2D(3, stride, dtype=dtype)(x)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_in_a_cell_is_caught(slims: Any, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    size = (13, 12)
    want, variables = slims(case, size)
    assert distance(run_ours(case, variables, size, epsilon=1e-5), want) > 1e-3
    if case.previous == "same":  # elsewhere the two inputs differ in channels or in size
        assert distance(run_ours(case, variables, size, wiring=swapped(WIRINGS[case.kind])), want) > 1e-3
    monkeypatch.setattr(nasnet, "average_pool_same", counted)
    assert distance(run_ours(case, variables, size), want) > 1e-3


@pytest.mark.parametrize("filters", [6, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (6, 7), (7, 6), (9, 9)], ids=str)
def test_factorized_reduction_is_slims(slim: SimpleNamespace, size: tuple[int, int], filters: int) -> None:
    x, want, variables = slims_factorized_reduction(slim, size, filters)
    cell = Cell(Layers(design.LARGE, "float64"), NORMAL, "0", filters)
    images = keras.Input(x.shape[1:], dtype="float64")
    with ExitStack() as scopes:
        scopes.enter_context(without_values())
        for scope in ("normal_A_block_0", "adjust_block", "adjust_reduction_block_0"):
            scopes.enter_context(keras.name_scope(scope))
        model = keras.Model(images, cell.factorized_reduction(images))
    assert distance(keras.ops.convert_to_numpy(filled(model, variables, "nasnet_large")(x)), want) < 1e-13


# ---- the average pool


def pooled(x: np.ndarray, stride: int) -> np.ndarray:
    images = keras.Input(x.shape[1:], dtype=x.dtype.name)
    model = keras.Model(images, average_pool_same(images, stride, x.dtype.name, "pool"))
    return keras.ops.convert_to_numpy(model(x))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_the_average_pool_is_tensorflows_same(tf: Any, stride: int, size: tuple[int, int]) -> None:
    x = draw(2, *size, 3) - 5
    want = tf.nn.avg_pool2d(tf.constant(x), 3, stride, "SAME").numpy()
    np.testing.assert_allclose(pooled(x, stride), want, rtol=1e-14)


def test_the_average_pool_is_tensorflows_same_on_the_torch_backend_where_keras_own_is_not(tf: Any) -> None:
    code = (
        "import keras, numpy as np; from test_keras_nasnet import pooled, draw, SIZES\n"
        "for size in SIZES:\n"
        "    x = draw(2, *size, 3).astype('float32')\n"
        "    own = keras.ops.average_pool(x, 3, 2, 'same')\n"
        "    np.savez('-'.join(map(str, size)), ours=pooled(x, 2), own=keras.ops.convert_to_numpy(own))"
    )
    on_torch(code, Path.cwd())
    differs = {}
    for size in SIZES:
        file = Path("-".join(map(str, size)) + ".npz")
        want = tf.nn.avg_pool2d(tf.constant(draw(2, *size, 3), tf.float32), 3, 2, "SAME").numpy()
        with np.load(file) as got:
            np.testing.assert_allclose(got["ours"], want, rtol=0, atol=1e-6)
            differs[size] = np.abs(got["own"] - want).max() > 1e-3
    assert differs == {size: size[0] % 2 == 0 or size[1] % 2 == 0 for size in SIZES}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def on_torch(code: str, folder: Path, **more: str) -> None:
    """Run ``code`` with Keras on PyTorch, in ``folder``."""
    path = os.pathsep.join(map(str, [TESTS / "nets", TESTS, TESTS.parent]))
    environment = os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": path} | more
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_goldens_hold_on_the_torch_backend() -> None:
    """float32 is the only precision there. Sides are even and odd: 32, 16, 8; 33, 17, 9; 127, 64, 32, 16."""
    code = (
        "from porter.catalog.goldens import recorded\nfrom porter.catalog.models import find_arch\n"
        "from porter.verbs.verify import verify_golden\n"
        "for name in ('nasnet_cifar', 'nasnet_cifar@33', 'nasnet_mobile@256'):\n"
        "    golden = recorded(name)\n"
        "    report = verify_golden(find_arch(golden.model), ['keras'], golden).ports['keras']\n"
        "    assert report, str(report)\n"
        "    assert [row.endpoint for row in report.rows] == list(golden.endpoint_shapes)"
    )
    on_torch(code, Path.cwd())


# ---- the network around the cells


@pytest.mark.parametrize("name", CONFIGS)
def test_the_numbers_are_slims(slim: SimpleNamespace, name: str) -> None:
    numbers, own = slims_numbers(slim, name), dataclasses.asdict(CONFIGS[name])
    del own["stem"]
    assert own.pop("aux_scaling") == 1  # AmoebaNet's
    assert own == {key: numbers[key] for key in own}


@pytest.mark.parametrize("name", [pytest.param("large", marks=pytest.mark.slow), "mobile", "cifar"])
def test_cells_follow_each_other_as_in_slim(slim: SimpleNamespace, name: str) -> None:
    """slim stacks the same cells, and its drop path has the same schedule. A map of its shape replaces each cell."""
    config, (calls, keeps) = CONFIGS[name], slims_plan(slim, name)
    table = Table.load(f"nasnet_{name}")
    places = {e.where["tf"].split("/")[0]: e.where["keras"] for e in table.endpoints if "keras" in e.where}
    slims_ids = IDS | {scope: place.split("/")[0].partition("_A_block_")[2] for scope, place in places.items()}
    outputs: list[str | None] = [None, "stem"]
    for (scope, stride, filters, previous, _), ours in zip(calls, plan(config), strict=True):
        assert slims_ids[scope] == cell_id(ours, config)
        assert (stride, filters) == (ours.wiring.stride, ours.filters)
        scope_before = None if previous is None else previous.split("/")[0]
        # What slim calls the stem's output is its batch norm.
        before = "stem" if scope_before in ("conv0_bn", "l1_stem_bn") else scope_before and slims_ids[scope_before]
        assert before == outputs[ours.previous]
        outputs.append(cell_id(ours, config))
    # The schedule goes by the number of cells, not by their width.
    narrow = dataclasses.replace(config, num_conv_filters=4, stem_multiplier=1.0)
    with without_values():  # but for the progress, which the scope keeps
        model = nasnet.nasnet(narrow, 10, 33, "float32", drop_path=True)
        paths = {layer.name.partition("_drop_path_")[2].partition("_")[2]: layer for layer in drop_paths(model)}
        assert len(paths) == (0 if name == "mobile" else len(calls))
        for at, probabilities in keeps.items():
            set_progress(model, at / config.total_training_steps)
            found = [probability(paths[cell_id(step, config)]) if paths else 1.0 for step in plan(config)]
            assert found == pytest.approx(probabilities, rel=1e-6)


def drop_paths(model: Any) -> list[DropPath]:
    return [layer for layer in model.layers if isinstance(layer, DropPath)]


def probability(path: DropPath) -> float:
    return 1 - float(path.progress) * (1 - path.keep_prob)


@pytest.mark.parametrize("name", ["mobile", "cifar"])
def test_names_are_the_tables(name: str) -> None:
    with without_values():
        model = load(f"nasnet_{name}", "keras")
    table = Table.load(f"nasnet_{name}")
    paths = {variable.path for variable in model.variables if not table.ignored("keras", variable.path)}
    assert paths == {pair.source for pair in table.pairs("keras", "keras")}
    places = [endpoint.where["keras"] for endpoint in table.endpoints if "keras" in endpoint.where]
    assert {layer_name(place) for place in places} <= {layer.name for layer in model.layers}
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_a_network_of_other_numbers_is_built_from_the_same_parts() -> None:
    with without_values():
        model = load("nasnet_mobile", "keras", num_classes=3, input_size=65)
        features = load("nasnet_cifar", "keras", num_classes=0)
    assert (model.input_shape, model.output_shape) == ((None, 65, 65, 3), (None, 3))
    assert features.output_shape == (None, 768)
    config = dataclasses.replace(TINY, num_cells=24)
    assert len({cell_id(step, config) for step in plan(config)}) == 24 + 2


# ---- training


def test_drop_path_keeps_whole_pictures_and_their_mean() -> None:
    keras.utils.set_random_seed(0)
    layer, ones = DropPath(0.6), np.ones((20_000, 2, 3, 3), np.float32)
    assert np.array_equal(layer(ones, training=True), ones)  # training has not begun
    layer.progress.assign(0.5)
    kept = keras.ops.convert_to_numpy(layer(ones, training=True))
    assert (kept == kept[:, :1, :1, :1]).all()
    assert np.unique(kept).tolist() == pytest.approx([0, 1 / 0.8])
    assert kept.mean() == pytest.approx(1, abs=5 * (0.25 / 20_000) ** 0.5)  # its deviation: (1 - keep) / keep
    assert np.array_equal(layer(ones), ones)


@pytest.mark.slow
def test_training_follows_the_schedule_through_a_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = nasnet.nasnet(TINY, 10, 16, "float32", drop_path=True)
    assert len(drop_paths(model)) == 3 * 8 + 2 * 9  # every branch that is no identity
    x, y = draw(16, 16, 16, 3).astype(np.float32), np.arange(16) % 10
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    before = [np.array(weight) for weight in model.trainable_weights]
    history = model.fit(x, y, batch_size=4, verbose=0, callbacks=[DropPathSchedule(12)])
    assert np.isfinite(history.history["loss"]).all()
    assert all((np.array(now) != was).any() for now, was in zip(model.trainable_weights, before, strict=True))
    assert {float(path.progress) for path in drop_paths(model)} == {np.float32(3 / 12)}  # before the fourth step

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    outer = keras.Sequential([again, keras.layers.Dense(10)])
    outer.compile("sgd", loss, run_eagerly=True)
    outer.optimizer.iterations.assign(8)
    outer.fit(x, y, batch_size=8, verbose=0, callbacks=[DropPathSchedule(12)])
    assert {float(path.progress) for path in drop_paths(again)} == {np.float32(9 / 12)}
    set_progress(again, 7.0)
    assert {float(path.progress) for path in drop_paths(again)} == {1.0}
    assert np.array_equal(again(x), again(x))
    frozen = [layer for layer in again.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in frozen:  # batch norm's own noise aside
        layer.trainable = False
    assert not np.array_equal(again(x, training=True), again(x, training=True))


# ---- files


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Port a seeded checkpoint of Mobile to a .keras file."""
    folder = tmp_path_factory.mktemp("mobile")
    seed("nasnet_mobile", folder / "seeded.ckpt")
    port("nasnet_mobile", target="keras", checkpoint=folder / "seeded.ckpt", out=folder / "mobile.keras")
    return folder / "mobile.keras"


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("torch", marks=pytest.mark.slow)])
def test_keras_loads_the_file_without_porter(mobile: Path, tmp_path: Path, backend: str) -> None:
    np.save(tmp_path / "pictures.npy", golden_images(224))
    code = (
        "import sys; sys.modules['porter'] = None; import keras, numpy as np\n"
        f"model = keras.saving.load_model({str(mobile)!r}, compile=False)\n"
        "logits = model(np.load('pictures.npy'), training=False)\n"
        "np.save('logits.npy', keras.ops.convert_to_numpy(logits))"
    )
    on_torch(code, tmp_path, KERAS_BACKEND=backend)
    golden = recorded("nasnet_mobile").values()["logits_float32"]
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), golden, rtol=0, atol=1e-4 * golden.std())


def test_a_file_is_read_back_bit_for_bit(mobile: Path, tmp_path: Path) -> None:
    out = tmp_path / "back.safetensors"
    port("nasnet_mobile", source="keras", target="tf", checkpoint=mobile, out=out)
    back, seeds = open_checkpoint(out), open_checkpoint(mobile.parent / "seeded.ckpt")
    assert set(back) == set(seeds)
    assert all(np.array_equal(back[name], seeds[name]) for name in seeds)


@pytest.mark.slow
def test_the_network_for_training_takes_the_same_file_and_computes_the_same(tmp_path: Path) -> None:
    seed("nasnet_cifar", tmp_path / "seeded.ckpt")
    port("nasnet_cifar", target="keras", checkpoint=tmp_path / "seeded.ckpt", out=tmp_path / "cifar.safetensors")
    x = golden_images(32)
    plain, training = (
        load("nasnet_cifar", "keras", weights=tmp_path / "cifar.safetensors", drop_path=drop_path)
        for drop_path in (False, True)
    )
    assert (len(drop_paths(plain)), len(drop_paths(training))) == (0, 18 * 8 + 2 * 9)
    assert np.array_equal(plain(x), training(x))
