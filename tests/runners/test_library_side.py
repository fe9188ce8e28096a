"""Libraries' own networks as sides: what they compute with the golden's weights, against the tables' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import with_classes, with_fills
from helpers.importable import require_library
from porter import endpoints, verify
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import ARCHS, find_arch
from porter.errors import MissingPackageError, PorterError
from porter.mapping.differs import Differs
from porter.mapping.table import Table
from porter.nets.library import build_library
from porter.parity.compare_runs import Settings
from porter.runners.context import Context
from porter.runners.golden import golden_images
from porter.runners.library_side import library_side
from porter.runners.runner_of import runner_of

pytestmark = pytest.mark.usefixtures("drawn_once")
TABLES = {arch.table: Table.load(arch.table) for arch in ARCHS.values()}
LOGITS = 1e-9
"""The exact rule of porter.parity.compare, in standard deviations of the logits."""
QUICK = {"mobilenet_v2_0.35_96", "mobilenet_v1_0.25_128", "mobilenet_v3_small_0.75_224@97"}


def context_of(golden: str, dialect: str | None = None) -> Context:
    """Return the comparison with the golden's weights, or with those of them that ``dialect`` can hold."""
    found = recorded(golden)
    arch = find_arch(found.model)
    table, seeds = TABLES[arch.table], seeded_checkpoint(found)
    lost = [] if dialect is None else table.lone("tf", dialect)
    classes = table.networks[dialect].classes if dialect in table.networks else None
    if classes in (None, arch.num_classes) and not any(lone.own.source in seeds for lone in lost):
        return Context(arch, table, found.input_size, golden=found)
    weights = with_fills(seeds, lost)
    if classes is not None:
        heads = [pair for pair in table.pairs("tf", "tf", table.parts) if pair.head]
        weights = with_classes(weights, heads, classes)
    return Context(arch, table, found.input_size, checkpoint=weights)


def original_logits(context: Context, images: np.ndarray) -> np.ndarray:
    """Return the golden's logits; with other weights those of porter's network, which other tests hold to goldens."""
    if context.golden is not None:
        return context.golden.values()["logits_float64"]
    from porter.nets.build_torch import build

    network = build(context.arch, context.tensors("torch"), None, "float64")
    return runner_of(network, context.table)(images.astype(np.float64))[context.table.judged]


def divergence(dialect: str, golden: str, how: str = "", count: int | None = None) -> float:
    """Return the largest difference of the library's logits, in standard deviations of the original's.

    On the first ``count`` of the golden's images, by default on all, as the tables' numbers are.
    """
    context = context_of(golden, dialect)
    runner = library_side(context.table.record(dialect).library + how, context).runner
    images = golden_images(context.size)[:count]
    got = runner(images.astype(runner.precisions[-1]))[context.table.judged]
    want = original_logits(context, images)[:count]
    return float(np.abs(got - want).max() / want.std())


def table_of(golden: str) -> str:
    return find_arch(recorded(golden).model).table


def marked(golden: str, *values: Any) -> Any:
    return pytest.param(golden, *values, marks=[] if golden in QUICK else pytest.mark.slow)


DIFFERING = [
    (entry.measured, entry)
    for table in TABLES.values()
    for entry in table.differs
    if table.record(entry.dialect).library
]


@pytest.mark.parametrize(
    ("golden", "entry"), [marked(*each) for each in DIFFERING], ids=[entry.library for _, entry in DIFFERING]
)
def test_a_library_differs_by_the_tables_number(golden: str, entry: Differs, monkeypatch: pytest.MonkeyPatch) -> None:
    require_library(table_of(golden), entry.dialect, monkeypatch)
    assert divergence(entry.dialect, golden) == pytest.approx(entry.logits, rel=0.01, abs=1e-4)
    if entry.settings:
        assert divergence(entry.dialect, golden, ":exact", count=1) < LOGITS


SAME = [
    (each.same_on, each.dialect)
    for table in TABLES.values()
    for each in table.networks.values()
    if each.same_on and table.record(each.dialect).library
]


@pytest.mark.parametrize(("golden", "dialect"), [marked(*each) for each in SAME])
def test_any_other_librarys_network_computes_the_original(
    golden: str, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_library(table_of(golden), dialect, monkeypatch)
    assert divergence(dialect, golden, count=1) < LOGITS


def test_verify_measures_a_library_without_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    require_library("mobilenet_v2", "timm", monkeypatch)
    result = verify("mobilenet_v2_0.35_96", reference="timm", settings=Settings(endpoints="Logits"))
    assert not result
    (report,) = result.ports.values()
    assert report.rows[-1].largest == pytest.approx(1.24, rel=0.01), "in deviations of timm's logits"
    assert any("it is exact with pad_type" in note for note in report.notes)
    assert verify("mobilenet_v2_0.35_96", reference="timm:exact", settings=Settings(endpoints="Logits"))


def test_verify_measures_a_library_with_a_checkpoint(small: Path) -> None:
    pytest.importorskip("keras")
    result = verify("mobilenet_v1_0.25_128", small, reference="keras.applications")
    assert result
    assert "own network, MobileNet" in result.reference
    assert not verify("mobilenet_v1_0.25_129", small, reference="keras.applications"), "no multiple of 32"


def test_endpoints_of_a_librarys_network_are_found_by_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    require_library("mobilenet_v2", "torchvision", monkeypatch)
    context = context_of("mobilenet_v2_0.35_96")
    network = build_library(context.arch, "torchvision", context.tensors("torchvision"), 1001, 96, 3)
    found = endpoints("mobilenet_v2_0.35_96", network, golden_images(96))
    assert found["layer_19"].shape == (3, 3, 3, 1280)
    assert "Logits" in found


def test_what_a_library_cannot_do_is_one_sentence(monkeypatch: pytest.MonkeyPatch, small: Path, tmp_path: Path) -> None:
    with pytest.raises(PorterError, match=r"porter builds nasnet_mobile with .*, not with timm: choose another side"):
        verify("nasnet_mobile", reference="timm")
    with pytest.raises(PorterError, match=r"unknown side 'timm:x': choose timm or timm:exact"):
        verify("mobilenet_v1_1.0_224", reference="timm:x")
    with pytest.raises(PorterError, match=r"unknown side 'nowhere': choose .* or a library's own network \(keras.app"):
        verify("mobilenet_v1_0.25_128", reference="nowhere")


def test_a_constructor_with_its_own_number_of_classes_alone() -> None:
    """Cadene's constructors of torchvision's networks ignore their num_classes."""
    with pytest.raises(
        PorterError,
        match=r"^pretrainedmodels builds inceptionv3 with 1000 classes alone, .* has 1001: .*drop_background",
    ):
        verify("inception_v3", reference="cadene")


def test_a_library_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(MissingPackageError, match="torchvision is not installed: run pip install torchvision"):
        verify("mobilenet_v2_0.35_96", reference="torchvision")
