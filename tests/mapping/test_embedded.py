"""Tables inside a table: names at another place, rows left out, axes and lacks replaced, and wrong entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.catalog.models import ARCHS
from porter.errors import MappingError
from porter.mapping.embedded import Embedded
from porter.mapping.table import Table

INNER = """
dialects = ["tf", "torch", "keras"]
[axis.block]
i = [1, 2, 3]
[[layer]]
id = "block"
kind = "conv"
over = ["block"]
tf = "net/b{i}"
torch = ["b.{i}", "old.{i}"]
keras = "b{i}"
[[layer]]
kind = "batch_norm"
lacks = { tf = ["gamma"], keras = ["gamma"] }
tf = "net/bn"
torch = "bn"
keras = "bn"
[[layer]]
id = "classifier"
kind = "classifier"
head = true
tf = "net/fc"
torch = "fc"
keras = "fc"
[[endpoint]]
name = "b{i}"
over = ["block"]
tf = "net/net/b{i}"
torch = "b.{i}"
keras = "b{i}"
[[endpoint]]
name = "Logits"
logits = true
tf = "net/fc"
torch = "fc"
keras = "fc"
"""

OUTER = """
dialects = ["tf", "torch"]
[[embed]]
table = "inner"
without = ["classifier", "Logits"]
tf = "Extractor/"
torch = "backbone."
[[layer]]
kind = "conv_bias"
head = true
tf = "Predictor"
torch = "predictor"
[[endpoint]]
name = "scores"
scores = true
tf = "Predictor/BiasAdd"
torch = "predictor"
"""


def read(folder: Path, outer: str = OUTER, name: str = "outer") -> Table:
    (folder / "inner.toml").write_text(INNER, encoding="utf-8")
    (folder / f"{name}.toml").write_text(outer, encoding="utf-8")
    return Table.read(folder / f"{name}.toml")


def test_a_table_has_the_rows_of_the_one_inside_at_their_place(tmp_path: Path) -> None:
    table = read(tmp_path)
    names = {pair.source: pair.target for pair in table.pairs("tf", "torch")}
    assert names["Extractor/net/b2/weights"] == "backbone.b.2.weight"
    assert names["Predictor/biases"] == "predictor.bias"
    assert not any("fc" in name for name in names)
    assert table.dialects == ("tf", "torch")
    assert table.other_names("torch")["backbone.b.1.weight"] == ["backbone.old.1.weight"]
    assert [one.name for one in table.endpoints] == ["b1", "b2", "b3", "scores"]
    assert table.endpoints[1].where == {"tf": "Extractor/net/net/b2", "torch": "backbone.b.2"}
    assert table.embedded == (Embedded("inner", {"tf": "Extractor/", "torch": "backbone."}),)
    assert table.logits is None
    assert table.judged == "scores"


def test_two_tables_inside_share_out_the_rows_of_one(tmp_path: Path) -> None:
    second = """
[[embed]]
table = "inner"
without = ["net/bn", "classifier", "Logits"]
axis = { block = { i = [3] } }
tf = "Second/"
torch = "second."
"""
    first = OUTER.replace("[[layer]]", second + "[[layer]]", 1)
    table = read(
        tmp_path, first.replace('torch = "backbone."', 'torch = "backbone."\naxis = { block = { i = [1, 2] } }')
    )
    kernels = [pair.target for pair in table.pairs("tf", "torch") if pair.kind == "conv"]
    assert kernels == ["backbone.b.1.weight", "backbone.b.2.weight", "second.b.3.weight"]


def test_endpoints_follow_the_one_that_the_entry_names(tmp_path: Path) -> None:
    entry = 'after = "scores"\ntf = "Ex'
    table = read(tmp_path, OUTER.replace('tf = "Ex', entry, 1))
    assert [one.name for one in table.endpoints] == ["scores", "b1", "b2", "b3"]
    assert [layer.id for layer in table.layers] == [layer.id for layer in read(tmp_path, OUTER, "other").layers]


def test_lacks_are_those_of_the_place(tmp_path: Path) -> None:
    def gammas(table: Table) -> list[str]:
        return [lone.own.source for lone in table.lone("torch", "tf")]

    assert gammas(read(tmp_path)) == ["backbone.bn.weight"]
    assert gammas(read(tmp_path, OUTER.replace('tf = "Ex', 'lacks = {}\ntf = "Ex'), "full")) == []


def test_an_extending_table_embeds_its_own(tmp_path: Path) -> None:
    read(tmp_path)
    embed = '[[embed]]\ntable = "inner"\nwithout = ["block", "b{i}", "classifier", "Logits"]\ntf = "E/"\ntorch = "e."\n'
    table = read(tmp_path, f'extends = "outer"\n{embed}', "other")
    assert {pair.target.rpartition(".")[0] for pair in table.pairs("tf", "torch")} == {"e.bn", "predictor"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('table = "inner"', ""), "has an embed that names no table"),
        (('table = "inner"', 'table = "nobody"'), "nobody.toml does not exist"),
        (('table = "inner"', 'table = "outer"'), "extends itself: name another table in extends or embed"),
        (('table = "inner"', 'table = "inner"\nprefix = "x"'), "has an embed with unknown keys ['prefix']"),
        (('without = ["classifier"', 'without = ["classify"'), "leaves out 'classify' of inner, which has no such row"),
        (('without = ["classifier", "Logits"]', "without = 3"), "has an embed whose without is 3"),
        (("[[embed]]", "[embed]"), "has an embed that is not a list: begin each entry with [[embed]]"),
        (('tf = "Ex', 'after = "b4"\ntf = "Ex'), "embeds inner after 'b4', which is not an endpoint"),
        (('tf = "Ex', 'axis = { blocks = { i = [1] } }\ntf = "Ex'), "replaces the axis 'blocks' of inner"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    assert change[0] in OUTER
    with pytest.raises(MappingError) as raised:
        read(tmp_path, OUTER.replace(*change, 1))
    assert complaint in str(raised.value)


@pytest.mark.parametrize("table", sorted({arch.table for arch in ARCHS.values()}))
def test_an_embedded_table_is_a_models(table: str) -> None:
    assert {inner.table for inner in Table.load(table).embedded} <= {arch.table for arch in ARCHS.values()}
