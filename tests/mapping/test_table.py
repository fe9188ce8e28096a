"""Mapping tables: the shipped ones against the recorded originals, and the loader's own checks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import porter
from helpers.checkpoints import Saver, seeded_variables
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, Arch, find_arch
from porter.errors import MappingError
from porter.files import package_data
from porter.mapping import table as tables
from porter.mapping import table_files
from porter.mapping.kinds import KINDS, UNNAMED
from porter.mapping.table import Table

BASE = """
dialects = ["tf", "torch"]
[axis.block]
i = [1, 2]
[[layer]]
kind = "conv"
over = ["block"]
tf = "a_{i}"
torch = "b.{i}"
[[endpoint]]
name = "Logits"
logits = true
tf = "a"
torch = "b"
"""


@pytest.mark.parametrize("arch", ARCHS.values(), ids=ARCHS)
def test_a_table_names_every_variable_and_endpoint_of_the_original(arch: Arch) -> None:
    table, golden = Table.load(arch.table), recorded(arch.golden)
    in_graph = table.parts_in("tf", golden.variables)  # slim's inference graph may have the auxiliary head
    assert {pair.source for pair in table.pairs("tf", "torch", in_graph)} == set(golden.variables)
    with_parts = {pair.source for pair in table.pairs("tf", "torch", table.parts)}
    assert with_parts == set(golden.all_variables) - {"global_step"}
    names = [endpoint.name for endpoint in table.endpoints]
    assert [name for name in names if name in golden.endpoint_shapes] == list(golden.endpoint_shapes)
    unnamed = {e.where["tf"] for e in table.endpoints if e.name not in golden.endpoint_shapes}  # by slim
    assert not unnamed - {node.name for node in golden.load_graph().node if unnamed}


# An overlay has its dialect behind the table's name.
TABLES = sorted(path for path in package_data.folder("mappings").glob("*.toml") if "." not in path.stem)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_dialect_translates_into_every_other_and_back(path: Path) -> None:
    table = Table.read(path)
    for source, target in itertools.permutations(table.dialects, 2):
        there, back = table.pairs(source, target), table.pairs(target, source)
        assert [(p.source, p.source_axes) for p in there] == [(p.target, p.target_axes) for p in back]


@pytest.mark.parametrize("name", {arch.table: arch.golden for arch in ARCHS.values()}.values())
def test_trainable_tensors_are_those_that_the_original_trains(name: str) -> None:
    golden = recorded(name)
    table = Table.load(find_arch(name).table)
    pairs = table.pairs("tf", "torch", table.parts)
    assert {pair.source for pair in pairs if pair.trainable} == set(golden.recipe["trainable"])


def test_a_row_over_an_empty_axis_is_gone(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base")
    layer = '[[layer]]\nkind = "conv"\ntf = "c"\ntorch = "c"\n'
    table = Table.read(write(tmp_path, f'extends = "base"\n[axis.block]\ni = []\n{layer}'))
    assert [pair.source for pair in table.pairs("tf", "torch")] == ["c/weights"]


def test_a_tensor_may_have_other_names_in_older_files(tmp_path: Path) -> None:
    table = Table.read(write(tmp_path, BASE.replace('torch = "b.{i}"', 'torch = ["b.{i}", "old.{i}"]')))
    assert table.other_names("torch") == {"b.1.weight": ["old.1.weight"], "b.2.weight": ["old.2.weight"]}
    assert table.other_names("tf") == {}


def test_each_table_is_parsed_and_expanded_once(monkeypatch: pytest.MonkeyPatch, save: Saver, tmp_path: Path) -> None:
    parsed: list[str] = []
    expanded: list[str] = []
    parse, expand = table_files.tomllib.loads, tables.expand
    texts = {path.read_text(encoding="utf-8"): path.stem for path in TABLES}

    def counted_parse(text: str) -> dict[str, Any]:
        if text in texts:  # tomllib reads the models' records too
            parsed.append(texts[text])
        return parse(text)

    def counted_expand(sources: Any) -> Any:
        expanded.append(sources[-1].path.stem)
        return expand(sources)

    for cached in (table_files.parse_table, table_files.parse_overlay, tables._expanded):
        cached.cache_clear()
    monkeypatch.setattr(table_files.tomllib, "loads", counted_parse)
    monkeypatch.setattr(tables, "expand", counted_expand)
    prefix, out = save(seeded_variables()), tmp_path / "out.safetensors"
    porter.port("mobilenet_v1_0.25_128", checkpoint=prefix, out=out)
    porter.port("mobilenet_v1_0.25_128", source="torch", target="tf", checkpoint=out)
    assert parsed.count("mobilenet_v1") == expanded.count("mobilenet_v1") == 1
    porter.inspect(prefix)  # compares with every architecture; some tables extend another
    assert sorted(parsed) == sorted(expanded) == sorted(texts.values())


def test_a_table_is_read_again_where_it_or_its_base_changes(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base")
    path = write(tmp_path, 'extends = "base"\n')
    assert Table.read(path) is Table.read(path)
    assert Table.read(path).pairs("tf", "torch")[0].target == "b.1.weight"
    write(tmp_path, BASE.replace("b.{i}", "c.{i}"), "base")
    assert Table.read(path).pairs("tf", "torch")[0].target == "c.1.weight"


def write(folder: Path, text: str, name: str = "table") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_over_the_same_axis_interleave_in_graph_order(tmp_path: Path) -> None:
    extra = "".join(
        f'[[endpoint]]\nname = "{name}_{{i}}"\nover = ["block"]\ntf = "{name}{{i}}"\n' for name in ("dw", "pw")
    )
    table = Table.read(write(tmp_path, BASE + extra))
    assert [endpoint.name for endpoint in table.endpoints] == ["Logits", "dw_1", "pw_1", "dw_2", "pw_2"]


def test_a_table_that_extends_another_replaces_axes_and_adds_rows(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base")
    layer = '[[layer]]\nkind = "batch_norm"\ntf = "bn"\ntorch = "bn"\n'
    table = Table.read(write(tmp_path, f'extends = "base"\n[axis.block]\ni = [7]\n{layer}'))
    assert [pair.source for pair in table.pairs("tf", "torch")][:2] == ["a_7/weights", "bn/gamma"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("i = [1, 2]", "i = [1, 1]"), "has the tf name 'a_1/weights' more than once"),
        (("i = [1, 2]", "i = [1, 2]\nj = [1]"), "columns differ in length"),
        (('torch = "b.{i}"', 'torch = "b.{k}"'), "placeholders are not columns"),
        (('torch = "b.{i}"', 'torch = "b.{i"'), "placeholders are not columns"),
        (('torch = "b.{i}"', 'jax = "b.{i}"'), "unknown keys ['jax']"),
        (('torch = "b.{i}"\n', ""), "conv layer without a name in ['torch']"),
        (('over = ["block"]', 'over = ["bock"]'), "axis 'bock', which it does not declare"),
        (('kind = "conv"', 'kind = "convolution"'), "unknown kind 'convolution'"),
        (('"tf", "torch"', '"tf", "jax"'), "dialect 'jax', which porter does not know"),
        (('over = ["block"]', 'over = ["block"]\npart = "aux"'), "the part 'aux', which [part] does not declare"),
        (('torch = "b.{i}"', 'torch = ["b.{i}", "b.1"]'), "has the torch name 'b.1.weight' more than once"),
        (("logits = true", ""), "an endpoint with logits = true"),
        (('kind = "conv"', 'kind = "depthwise"\nhead = true'), "its tensors have no axis O for the classes"),
        (('kind = "conv"', 'kind = "batch_norm"\nstem = true'), "no tensor has an axis I for the images' channels"),
        (('kind = "conv"', 'kind = "batch_norm"\nsized = true'), "with sized = true, but without axes H and W"),
        (('kind = "conv"', 'kind = "conv"\nstem = 1'), "whose stem is 1, which has the wrong type"),
        (("logits = true", 'logits = true\nsoftmax = "Lojits"'), "softmax of 'Lojits'"),
        (('name = "Logits"', 'where = "Logits"'), "unknown keys ['where']"),
        (('name = "Logits"\n', ""), "has an endpoint without a name"),
        (('kind = "conv"', 'kind = "conv"\nlacks = { tf = ["bias"] }'), "lacks ['bias']: its roles are ['kernel']"),
        (('kind = "conv"', 'kind = "conv"\nlacks = { tf = ["kernel"] }'), "every dialect needs the kernel of a layer"),
        (('kind = "conv"', 'kind = "conv"\nlacks = { keras = ["kernel"] }'), "['keras'], which are not its dialects"),
        (('kind = "conv"', 'kind = "conv"\nlacks = 3'), "whose lacks is 3, which has the wrong type"),
        (('kind = "conv"', 'kind = "conv"\nkinds = { keras = "conv" }'), "another kind in ['keras']"),
        (('kind = "conv"', 'kind = "conv"\nkinds = { torch = "convolution" }'), "unknown kind 'convolution'"),
        (
            ('kind = "conv"', 'kind = "conv"\nkinds = { torch = 3 }'),
            "whose kinds is {'torch': 3}, which has the wrong type",
        ),
        (
            ('kind = "conv"', 'kind = "conv"\nkinds = { torch = "depthwise" }'),
            "every dialect needs the depthwise_kernel",
        ),
        (('kind = "conv"', 'kind = "conv"\nid = 3'), "whose id is 3, which has the wrong type"),
        (("[axis.block]", "[axes.block]"), "unknown keys ['axes']"),
        (("[axis.block]", "[axis.block"), "is not valid TOML"),
        (('"tf", "torch"', '"tf", "torch", "torch"'), "declares a dialect more than once: tf, torch, torch"),
        (("dialects =", 'extends = "nothing"\ndialects ='), "nothing.toml does not exist"),
        (("dialects =", 'extends = "table"\ndialects ='), "extends itself"),
        (("dialects =", "extends = 3\ndialects ="), "extends 3: name a table"),
        (("dialects =", 'extends = "base"\nignore = 3\ndialects ='), "ignore that is not a list of patterns"),
    ],
)
def test_a_wrong_table_is_refused_by_name(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    assert change[0] in BASE
    write(tmp_path, BASE, "base")
    with pytest.raises(MappingError) as caught:
        Table.read(write(tmp_path, BASE.replace(*change)))
    assert complaint in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_of_two_tables_the_wrong_one_is_named(tmp_path: Path) -> None:
    base = write(tmp_path, BASE.replace("dialects =", "ignore = 3\ndialects ="), "base")
    with pytest.raises(MappingError, match=rf"^{base}: the table has an ignore that is not a list"):
        Table.read(write(tmp_path, 'extends = "base"\n'))


def test_rows_have_ids_of_their_own_or_the_originals_name(tmp_path: Path) -> None:
    table = Table.read(write(tmp_path, BASE))
    assert {layer.id for layer in table.layers} == {"a_{i}"}
    table = Table.read(write(tmp_path, BASE.replace("[[layer]]", '[[layer]]\nid = "first"')))
    assert {layer.id for layer in table.layers} == {"first"}


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MappingError, match=r"bytes.toml is not valid TOML"):
        Table.read(tmp_path / "bytes.toml")
    with pytest.raises(MappingError, match=r"cannot be read \(Is a directory\): name a mapping table"):
        Table.read(tmp_path)


WORD = st.text("abcxyz", min_size=1, max_size=4)
KIND = st.sampled_from(sorted(KINDS.keys() - UNNAMED.keys()))


def read_or_told(path: Path) -> tuple[Table | None, str]:
    """Return a table, or the error that refuses it."""
    try:
        return Table.read(path), ""
    except MappingError as error:
        return None, str(error)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(KIND, WORD, WORD, st.booleans()), min_size=1, max_size=6), st.integers(0, 4))
def test_any_table_names_each_tensor_once_or_is_refused(
    tmp_path: Path, rows: list[tuple[str, str, str, bool]], size: int
) -> None:
    """A table goes there and back, or the error names the name that two tensors would share."""
    text = ['dialects = ["tf", "torch"]', "[axis.n]", f"i = {list(range(size))}", f"j = {list(range(3, size + 3))}"]
    for kind, tf, torch, repeated in rows:
        over = 'over = ["n"]' if repeated else ""
        suffix = ("/{i}", ".{j}") if repeated else ("", "")
        text += ["[[layer]]", f'kind = "{kind}"', over, f'tf = "{tf}{suffix[0]}"', f'torch = "{torch}{suffix[1]}"']
    text += ["[[endpoint]]", 'name = "Logits"', "logits = true", 'tf = "a"', 'torch = "b"']
    tensors = sum(len(KINDS[kind]) * (size if repeated else 1) for kind, _, _, repeated in rows)
    path = write(tmp_path, "\n".join(text), "any")
    table, told = read_or_told(path)
    assert (table is None) == ("more than once" in told)
    if table is None:
        return
    there, back = table.pairs("tf", "torch"), table.pairs("torch", "tf")
    assert len({pair.source for pair in there}) == len({pair.target for pair in there}) == tensors
    assert {(pair.source, pair.target) for pair in there} == {(pair.target, pair.source) for pair in back}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(BASE) - 1), st.integers(0, 12), st.text('ab[]{}="\n. 1', max_size=6))
def test_a_damaged_table_is_refused_or_read(tmp_path: Path, at: int, cut: int, put: str) -> None:
    path = write(tmp_path, BASE[:at] + put + BASE[at + cut :], "damaged")
    table, told = read_or_told(path)
    assert table is not None or str(path) in told
