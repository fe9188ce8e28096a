"""The grid of architectures and dialects, as the tables have it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from porter.catalog.models import ARCHS
from porter.cli.main import main
from porter.mapping.grid import Cell, grid
from porter.mapping.table import Table

CELLS = {(cell.table, cell.dialect.name): cell for cell in grid()}


def test_every_dialect_of_every_table_has_a_cell() -> None:
    tables = {arch.table: Table.load(arch.table) for arch in ARCHS.values()}
    assert list(CELLS) == [(name, dialect) for name, table in tables.items() for dialect in table.dialects]
    assert {model for cell in CELLS.values() for model in cell.models} == set(ARCHS)


@pytest.mark.parametrize(
    ("key", "function", "proof"),
    [
        (("mobilenet_v1", "tf"), "same", ("original",)),
        (("mobilenet_v1", "torch"), "same", ("golden",)),
        (("mobilenet_v1", "timm"), 'same with pad_type="same", bn_eps=0.001', ("library",)),
        (("mobilenet_v1", "keras"), "same at multiples of 32, otherwise differs by 77.4%", ("golden", "library")),
        (("nasnet_large", "timm"), "differs by 4.0%", ("library",)),
        (("nasnet_mobile", "keras"), "differs by 10.2%", ("golden", "library")),
        (("mobilenet_v1", "tensornets"), "same", ("library",)),
        (("mobilenet_v3_small", "timm"), "differs by 0.09%", ("library",)),
        (("resnet_v1_50", "cadene"), "differs by 45.4%", ("library",)),
    ],
)
def test_the_function_and_its_proof(key: tuple[str, str], function: str, proof: tuple[str, ...]) -> None:
    cell: Cell = CELLS[key]
    assert (cell.function, cell.proof) == (function, proof)


def test_a_role_that_one_side_lacks_is_a_condition() -> None:
    assert CELLS["inception_v3", "torch"].read == {"gamma": 1.0}
    assert CELLS["resnet_v2_50", "timm"].write == {"bias": 0.0}
    assert not CELLS["mobilenet_v1", "torch"].read


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["list", "--grid"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(CELLS)
    assert lines[0].split() == ["architecture", "dialect", "read", "write", "function", "proof"]
    with pytest.raises(SystemExit):
        main(["list", "--grid", "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert len(found) == len(CELLS)
    assert found[0]["dialect"] == "tf"
