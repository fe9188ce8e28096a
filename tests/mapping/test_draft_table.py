"""A drafted table expands, through mapping.Table, to exactly the names that it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.checkpoints import Saver, training_checkpoint
from helpers.graphs import analysis_of, path_of
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS
from porter.mapping.draft_table import draft_table, write_draft
from porter.mapping.table import Table
from porter.verbs.inspect import draft

GRAPHS = [
    "mobilenet_v1_1.0_224",
    "nasnet_large",
    "nasnet_mobile",
    "inception_v1",
    "inception_v3",
    "resnet_v1_50",
    "mobilenet_v3_large",
]


@pytest.mark.parametrize("name", GRAPHS)
def test_the_draft_covers_every_variable_in_its_axes(tmp_path: Path, name: str) -> None:
    drafted, names = draft(path_of(name))
    write_draft(tmp_path / "draft.toml", drafted, names)
    table = Table.read(tmp_path / "draft.toml")
    assert table.dialects == ("tf",)
    pairs = {pair.source: pair for pair in table.pairs("tf", "tf")}
    variables = analysis_of(name).variables
    assert pairs.keys() == variables.keys()
    from porter.mapping.relayout import parse_axes

    for variable in variables.values():
        assert len(parse_axes(pairs[variable.name].source_axes)) == len(variable.shape or ())


@pytest.mark.parametrize("name", sorted({recorded(arch.golden).shared.name for arch in ARCHS.values()}))
def test_the_draft_of_every_architecture_expands_to_its_names(tmp_path: Path, name: str) -> None:
    golden = recorded(name)
    drafted, names = draft(golden.graph)
    write_draft(tmp_path / "draft.toml", drafted, names)
    assert {pair.source for pair in Table.read(tmp_path / "draft.toml").pairs("tf", "tf")} == set(golden.variables)


def test_numbers_become_axes_and_the_head_is_marked(tmp_path: Path) -> None:
    drafted, _ = draft(path_of("mobilenet_v1_1.0_224"))
    assert drafted.rows == 7  # as many as the table that was written by hand
    assert "[axis.conv2d]\nconv2d = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]\n" in drafted.text
    assert 'kind  = "classifier_conv"\nhead  = true\ntf    = "MobilenetV1/Logits/Conv2d_1c_1x1"' in drafted.text
    assert 'tf     = "MobilenetV1/Predictions/Reshape"' in drafted.text
    large, _ = draft(path_of("nasnet_large"))
    assert large.rows < 40  # for 1546 variables
    assert "cell_3 = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17]" in large.text


def test_a_checkpoint_alone_is_drafted_without_its_slots(save: Saver, tmp_path: Path) -> None:
    drafted, names = draft(save(training_checkpoint()))
    assert len(names) == 137
    write_draft(tmp_path / "draft.toml", drafted, names)


PART = st.text(st.sampled_from('ab01{}"\\\n\x7f é.-_'), min_size=1, max_size=4)
NAMES = st.lists(st.lists(PART, min_size=1, max_size=4).map("/".join), unique=True, min_size=1, max_size=12)
SHAPE = st.sampled_from([(), (4,), (3, 4), (3, 3, 4, 8), (3, 4, 8), (2, 3, 3, 4, 8)])


@settings(deadline=None)
@given(NAMES, st.lists(SHAPE, min_size=12, max_size=12))
def test_any_names_survive(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], shapes: list[tuple[int, ...]]
) -> None:
    sized = dict(zip(names, shapes, strict=False))
    path = tmp_path_factory.mktemp("any") / "draft.toml"
    write_draft(path, draft_table(sized, "any", names[:1], names[0]), sized)


def test_what_no_kind_fits_is_a_row_under_its_own_name(tmp_path: Path) -> None:
    sized = {"a/theta": (3, 4), "a/scale": (), "b_1/theta": (3, 4), "b_2/theta": (5, 4)}
    drafted = draft_table(sized, "odd")
    assert set(drafted.unnamed) == set(sized)
    assert drafted.rows == 3
    assert 'tf    = "b_{b}/theta"  # 2 times: 3x4, 5x4' in drafted.text
    table = tmp_path / "odd.toml"
    write_draft(table, drafted, sized)
    shapes = {pair.source: pair.source_axes for pair in Table.read(table).pairs("tf", "tf")}
    assert shapes == {"a/theta": "IO", "a/scale": "", "b_1/theta": "IO", "b_2/theta": "IO"}
