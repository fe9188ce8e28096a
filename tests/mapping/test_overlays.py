"""A dialect in a file of its own, with timm's names over MobileNet V1 and NASNet, and what an overlay may not say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from porter import port
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.errors import MappingError, PorterError
from porter.files import package_data
from porter.mapping import table as tables
from porter.mapping.dialects import DIALECTS
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.mapping.translate import Options, translate

MOBILENET = """
[dialect]
framework = "torch"

[axis.block]
block = ["0.0", "1.0", "1.1", "2.0", "2.1", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "4.0", "4.1"]

[layer]
stem         = "conv_stem"
stem_bn      = "bn1"
depthwise    = "blocks.{block}.conv_dw"
depthwise_bn = "blocks.{block}.bn1"
pointwise    = "blocks.{block}.conv_pw"
pointwise_bn = "blocks.{block}.bn2"
classifier   = { name = "classifier", kind = "classifier" }

[endpoint]
Conv2d_0               = "bn1"
"Conv2d_{i}_depthwise" = "blocks.{block}.bn1"
"Conv2d_{i}_pointwise" = "blocks.{block}.bn2"
Logits                 = "classifier"
"""

# Like timm, it has no auxiliary head.
LARGE = """
[dialect]
framework = "torch"

[axis.first]
mine = [0, 6, 12]
[axis.later]
mine = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17]
[axis.normal]
mine = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]

[layer]
stem                   = "conv0.conv"
stem_bn                = "conv0.bn"
classifier             = "last_linear"
normal_1x1             = "cell_{mine}.conv_1x1.conv"
normal_1x1_bn          = "cell_{mine}.conv_1x1.bn"
normal_prev            = "cell_{mine}.conv_prev_1x1.conv"
normal_prev_bn         = "cell_{mine}.conv_prev_1x1.bn"
normal_path            = "cell_{mine}.path_{h}.conv"
normal_path_bn         = "cell_{mine}.final_path_bn"
normal_separable       = "cell_{mine}.comb_iter_{iter}_{side}.separable_{h}"
normal_separable_bn    = "cell_{mine}.comb_iter_{iter}_{side}.bn_sep_{h}"
reduction_1x1          = "{cell}.conv_1x1.conv"
reduction_1x1_bn       = "{cell}.conv_1x1.bn"
reduction_prev         = "{cell}.conv_prev_1x1.conv"
reduction_prev_bn      = "{cell}.conv_prev_1x1.bn"
reduction_path         = "{cell}.path_{h}.conv"
reduction_path_bn      = "{cell}.final_path_bn"
reduction_separable    = "{cell}.comb_iter_{iter}_{side}.separable_{h}"
reduction_separable_bn = "{cell}.comb_iter_{iter}_{side}.bn_sep_{h}"

[endpoint]
Logits = "last_linear"
"""

# The tables that extend Large replace its axes, and so their overlays give the columns anew.
MOBILE = """
[axis.first]
mine = [0, 6, 12]
[axis.later]
mine = [1, 2, 3, 7, 8, 9, 13, 14, 15]
[axis.normal]
mine = [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15]
"""

CIFAR = """
[axis.first]
mine = [6, 12]

[layer]
fitted                = "cell_0.{torch}.conv"
fitted_bn             = "cell_0.{torch}.bn"
first_output_path     = "cell_0.path.conv"
first_output_path_bn  = "cell_0.path.bn"
"""

OVERLAYS = {"mobilenet_v1": MOBILENET, "nasnet_large": LARGE, "nasnet_mobile": MOBILE, "nasnet_cifar": CIFAR}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of porter's tables with the overlays of a dialect beside them, which every lookup finds."""
    for path in package_data.folder("mappings").glob("*.toml"):
        shutil.copy(path, tmp_path)
    for name, text in OVERLAYS.items():
        (tmp_path / f"{name}.mine.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(tables, "table_path", lambda name: tmp_path / f"{name}.toml")
    return tmp_path


def test_porter_itself_does_not_know_the_fourth_dialect() -> None:
    assert "mine" not in DIALECTS
    assert "mine" not in Table.load("mobilenet_v1").dialects


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_adds_its_dialect_and_changes_no_other(folder: Path, name: str) -> None:
    table, plain = Table.load(name), Table.read(package_data.folder("mappings") / f"{name}.toml")
    assert set(table.dialects) == {*plain.dialects, "mine"}
    assert table.record("mine").framework == "torch"
    assert table.record("mine").separator == "."
    for dialect in plain.dialects:
        assert table.pairs("tf", dialect, table.parts) == plain.pairs("tf", dialect, plain.parts)
    # Here timm's names are those of porter's own networks.
    own = [(pair.source, pair.target, pair.target_axes) for pair in table.pairs("tf", "torch")]
    assert [(pair.source, pair.target, pair.target_axes) for pair in table.pairs("tf", "mine")] == own
    assert table.ignored("mine", "bn1.num_batches_tracked")


MODELS = ["mobilenet_v1_1.0_224", "nasnet_mobile", "nasnet_cifar", pytest.param("nasnet_large", marks=pytest.mark.slow)]


@pytest.mark.parametrize("model", MODELS)
def test_there_and_back_is_exact(folder: Path, model: str) -> None:
    arch, seeds = find_arch(model), seeded_checkpoint(recorded(model))
    there = translate(seeds, arch, "tf", "mine").as_checkpoint(seeds)
    back = translate(there, arch, "mine", "tf").entries
    assert back.keys() == recorded(model).variables.keys()
    for name, entry in back.items():
        want = seeds[name]
        got = entry.load()
        assert got.dtype == want.dtype
        assert np.array_equal(got, want), name


def test_a_part_that_a_dialect_lacks_is_refused(folder: Path) -> None:
    arch, seeds = find_arch("nasnet_mobile"), seeded_checkpoint(recorded("nasnet_mobile"))
    with pytest.raises(PorterError, match="nasnet_mobile has no auxiliary head in mine: leave `aux` out"):
        translate(seeds, arch, "tf", "mine", Options(parts=["aux"]))


def test_an_extending_table_has_the_dialects_that_it_has_an_overlay_for(folder: Path) -> None:
    (folder / "nasnet_mobile.mine.toml").unlink()
    assert "mine" not in Table.load("nasnet_mobile").dialects
    assert "mine" in Table.load("nasnet_large").dialects


ALIKE = """
alike   = "torch"
without = ["aux"]

[dialect]
framework = "torch"
order     = [["last_linear", "conv0"], ["bn"]]

[layer]
stem       = "first"
classifier = { lacks = ["bias"] }
"""


def test_an_overlay_that_is_alike_names_what_differs_alone(folder: Path) -> None:
    (folder / "nasnet_large.mine.toml").write_text(ALIKE, encoding="utf-8")
    table = Table.load("nasnet_large")
    own = {pair.source: pair.target for pair in table.pairs("tf", "torch")}
    mine = {pair.source: pair.target for pair in table.pairs("tf", "mine")}
    assert {name: (own[name], target) for name, target in mine.items() if own[name] != target} == {
        "conv0/weights": ("conv0.conv.weight", "first.weight")
    }
    assert own.keys() - mine.keys() == {"final_layer/FC/biases"}
    assert table.parts_of("mine") == []
    assert table.ignored("mine", "conv0.bn.num_batches_tracked")
    places = {dialect: [endpoint.where.get(dialect) for endpoint in table.endpoints] for dialect in ("torch", "mine")}
    assert places["mine"] == places["torch"]


def test_a_dialect_orders_its_files(folder: Path) -> None:
    (folder / "nasnet_large.mine.toml").write_text(ALIKE, encoding="utf-8")
    table = Table.load("nasnet_large")
    names = sorted((pair.target for pair in table.pairs("tf", "mine")), key=table.record("mine").rank)
    assert names[:2] == ["last_linear.weight", "conv0.bn.weight"]
    later = [name for name in names if not name.startswith(("last_linear", "conv0"))]
    assert later[0].split(".")[-2] == "bn"
    assert later[-1] == [pair.target for pair in table.pairs("tf", "mine") if ".bn." not in pair.target][-1]


def test_an_overlay_is_read_again_where_it_changes(folder: Path) -> None:
    path = folder / "mobilenet_v1.mine.toml"
    assert "conv_stem.weight" in {pair.target for pair in Table.load("mobilenet_v1").pairs("tf", "mine")}
    path.write_text(MOBILENET.replace('"conv_stem"', '"stem.conv"'), encoding="utf-8")
    assert "stem.conv.weight" in {pair.target for pair in Table.load("mobilenet_v1").pairs("tf", "mine")}


def test_leaves_come_from_the_dialect(folder: Path) -> None:
    leaves = '[dialect]\nleaves = { gamma = "scale", depthwise = { depthwise_kernel = "dw" } }\n'
    text = MOBILENET.replace("[dialect]\n", leaves)
    (folder / "mobilenet_v1.mine.toml").write_text(text, encoding="utf-8")
    names = {pair.target for pair in Table.load("mobilenet_v1").pairs("tf", "mine")}
    assert {"bn1.scale", "bn1.bias", "blocks.0.0.conv_dw.dw", "conv_stem.weight"} <= names


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('framework = "torch"', "", "must set the framework of 'mine', which porter does not know"),
        ('framework = "torch"', 'framework = "jax"', "must set the framework of 'mine'"),
        ('framework = "torch"', 'framework = "torch"\ncolour = 3', "unknown keys ['colour']"),
        ('framework = "torch"', 'framework = "torch"\nscoped = 3', "has scoped = 3: expected the type bool"),
        ('framework = "torch"', 'framework = "torch"\nleaves = { gamma = 3 }', "leaves that are not names"),
        ('framework = "torch"', 'framework = "torch"\nolder_leaves = { a = 3 }', "older_leaves that are not lists"),
        ('stem         = "conv_stem"\n', "", "has no name for these layers of mobilenet_v1.toml:\n  stem"),
        (
            'framework = "torch"',
            'framework = "torch"\nleaves = { gama = "g" }',
            "leaves of a role that does not exist, 'gama'",
        ),
        (
            'framework = "torch"',
            'framework = "torch"\nleaves = { convolution = { kernel = "k" } }',
            "leaves of a kind that does not exist, 'convolution'",
        ),
        (
            'framework = "torch"',
            'framework = "torch"\nleaves = { conv = { gamma = "g" } }',
            "leaves of a conv's role that does not exist, 'gamma': choose from kernel",
        ),
        (
            'framework = "torch"',
            'framework = "torch"\nolder_leaves = { weight = ["w"] }',
            "has older_leaves, which only a dialect with scoped = false reads",
        ),
        (
            'framework = "torch"',
            'framework = "torch"\nscoped = false\nolder_leaves = { kernel = ["w"] }',
            "older_leaves of a leaf that does not exist, 'kernel'",
        ),
        (
            'framework = "torch"',
            'framework = "torch"\nscoped = false',
            "which are both bn1.bias in files of mine, whose names have no scopes: rename a layer",
        ),
        ('stem         = "conv_stem"', 'stem = { kind = "conv" }', "has the layer stem without a name"),
        ('stem         = "conv_stem"', 'stem = { name = "a", a = 1 }', "the layer stem with unknown keys ['a']"),
        ('stem         = "conv_stem"', "stem = 3", "has the layer stem without a name"),
        ('stem         = "conv_stem"', "stem = []", "has the layer stem without a name"),
        ('stem         = "conv_stem"', 'stem = "bn1"', "has the mine name 'bn1.weight' more than once"),
        ('stem         = "conv_stem"', 'stem = "{i}"', "placeholders are not columns"),
        ("stem         =", "stern        =", "names the layer 'stern', which is not a row of mobilenet_v1.toml"),
        ('kind = "classifier"', 'kind = "dense"', "the layer classifier of unknown kind 'dense'"),
        ('kind = "classifier"', 'lacks = ["gamma"]', "says that classifier lacks ['gamma']: its roles are"),
        ('kind = "classifier"', 'lacks = ["kernel"]', "every dialect needs the kernel of a layer"),
        ('kind = "classifier"', "lacks = 3", "whose lacks is not a list of roles"),
        ('Logits                 = "classifier"', 'Lojits = "c"', "names the endpoint 'Lojits'"),
        ('Logits                 = "classifier"', "Logits = 3", "has the endpoint Logits = 3: name a layer"),
        ("[axis.block]", "[axis.rock]", "adds columns to the axis 'rock', which mobilenet_v1.toml does not declare"),
        ('block = ["0.0", ', "block = [", "differ in length from its 13"),
        ("block = [", "i = [", "repeats the columns ['i'] of the axis block"),
        ("[dialect]", "alike = 3\n[dialect]", "is alike 3: name a dialect"),
        ("[dialect]", 'alike = "nets"\n[dialect]', "is alike 'nets', which mobilenet_v1.toml has no columns for"),
        ("[dialect]", 'alike = "keras"\n[dialect]', "is alike 'keras', a dialect of another framework than mine's"),
        ("[dialect]", "without = 3\n[dialect]", "has a without that is not a list of parts"),
        ("[dialect]", 'without = ["aux"]\n[dialect]', "is without the part 'aux', which mobilenet_v1.toml does not"),
        ('framework = "torch"', 'framework = "torch"\norder = ["a"]', "an order that is not a list of scopes for each"),
        ("[dialect]", "[dialekt]", "unknown keys ['dialekt']"),
        ("[dialect]", "ignore = 3\n[dialect]", "an ignore that is not a list of patterns"),
        ('[dialect]\nframework = "torch"', "dialect = 3", "a dialect that is not a table: begin it with [dialect]"),
        ("[dialect]", "[dialect", "is not valid TOML"),
    ],
)
def test_a_wrong_overlay_is_refused_by_name(folder: Path, old: str, new: str, complaint: str) -> None:
    assert old in MOBILENET
    path = folder / "mobilenet_v1.mine.toml"
    path.write_text(MOBILENET.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        Table.load("mobilenet_v1")
    assert complaint in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_clash_inside_an_overlay_is_blamed_on_the_overlay(folder: Path) -> None:
    path = folder / "mobilenet_v1.mine.toml"
    path.write_text(MOBILENET.replace('stem         = "conv_stem"', 'stem = "bn1"', 1), encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        Table.load("mobilenet_v1")
    assert str(caught.value) == f"{path}: the table has the mine name 'bn1.weight' more than once"


def test_an_overlay_of_a_dialect_with_columns_is_refused(folder: Path) -> None:
    (folder / "mobilenet_v1.keras.toml").write_text("", encoding="utf-8")
    with pytest.raises(MappingError, match=r"mobilenet_v1.keras.toml: .* adds the dialect 'keras'"):
        Table.load("mobilenet_v1")


def test_a_known_dialect_keeps_its_framework(folder: Path) -> None:
    (folder / "base.toml").write_text(
        'dialects = ["tf"]\n[[layer]]\nid = "a"\nkind = "conv"\ntf = "a"\n[[endpoint]]\nname = "L"\nlogits = true\n'
    )
    overlay = folder / "base.keras.toml"
    overlay.write_text('[dialect]\nframework = "torch"\n[layer]\na = "b"\n')
    with pytest.raises(MappingError, match="'keras' is a dialect of keras: leave framework out"):
        Table.load("base")
    overlay.write_text('[layer]\na = "b"\n')
    assert [(pair.source, pair.target) for pair in Table.load("base").pairs("tf", "keras")] == [
        ("a/weights", "b/kernel")
    ]


def test_a_port_with_foreign_names_is_verified_in_porters_own_network(
    tf: Any, folder: Path, tmp_path: Path, small: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    assert port("mobilenet_v1_0.25_128", target="mine", checkpoint=small, out=out, verify=True).verification
    with safe_open(out, "numpy") as file:
        assert (file.metadata()["framework"], file.metadata()["dialect"]) == ("torch", "mine")


def test_a_row_that_the_golden_lacks_is_refused(folder: Path) -> None:
    path = folder / "mobilenet_v1.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('tf    = "MobilenetV1/Conv2d_0"', 'tf    = "MobilenetV1/Nope"'), encoding="utf-8")
    with pytest.raises(MappingError, match=r"has MobilenetV1/Nope/weights, which .* lacks: correct its tf name"):
        expected_shapes(find_arch("mobilenet_v1_0.25_128"), Table.load("mobilenet_v1"), "torch")
