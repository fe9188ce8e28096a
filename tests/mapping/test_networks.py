"""[network]: how a library builds its own network, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, find_arch
from porter.errors import MappingError, PorterError
from porter.mapping.dialects import DIALECTS
from porter.mapping.networks import Network, read_networks
from porter.mapping.table import Table
from porter.runners.library_side import named_library

TABLES = sorted({arch.table for arch in ARCHS.values()})
NETWORKS = [(name, each) for name in TABLES for each in Table.load(name).networks.values()]
VALUES = {"num_classes": 7, "input_size": 96, "in_channels": 3}


@pytest.mark.parametrize(("table", "network"), NETWORKS, ids=[f"{name}.{each.dialect}" for name, each in NETWORKS])
def test_every_network_has_a_constructor_and_arguments_for_a_model(table: str, network: Network) -> None:
    if network.same_on:
        assert find_arch(recorded(network.same_on).model).table == table
        assert all(entry.dialect != network.dialect for entry in Table.load(table).differs)
    built = 0
    for arch in ARCHS.values():
        if arch.table == table:
            try:
                arguments, constructor = network.filled(arch, **VALUES), network.constructor_of(arch)
            except PorterError:
                continue
            built += 1
            assert constructor.isidentifier()
            assert network.classes or 7 in arguments.values()
            assert not any("{" in str(value) for value in arguments.values())
    assert built


def test_an_extending_table_has_its_own_networks() -> None:
    assert Table.load("nasnet_mobile").networks["cadene"].constructor == "nasnetamobile"
    assert not Table.load("nasnet_cifar").networks


def test_a_choice_names_the_widths_that_the_library_has() -> None:
    network = Table.load("mobilenet_v2").networks["timm"]
    assert network.filled(find_arch("mobilenet_v2_0.35_96"), **VALUES)["model_name"] == "mobilenetv2_035"
    with pytest.raises(
        PorterError, match=r"timm has no network mobilenet_v2_1.3_224: its multiplier must be one of 0.35"
    ):
        network.filled(find_arch("mobilenet_v2_1.3_224"), **VALUES)


def test_a_choice_names_the_constructor_too() -> None:
    network = Table.load("mobilenet_v2").networks["tensornets"]
    assert network.constructor_of(find_arch("mobilenet_v2_0.35_96")) == "MobileNet35v2"
    with pytest.raises(PorterError, match=r"tensornets has no network mobilenet_v2_0.9_96: its multiplier must be one"):
        network.constructor_of(find_arch("mobilenet_v2_0.9_96"))


def test_a_library_that_porter_does_not_import_builds_nothing() -> None:
    from porter.nets.library import library_network

    with pytest.raises(PorterError, match=r"builds nasnet_mobile with keras.applications, pretrainedmodels, not with"):
        library_network(find_arch("nasnet_mobile"), "tensornets")


def test_placeholders_in_lists_and_none() -> None:
    network = Table.load("mobilenet_v1").networks["keras"]
    arguments = network.filled(find_arch("mobilenet_v1_0.25_128"), **VALUES)
    assert (arguments["input_shape"], arguments["alpha"], arguments["weights"]) == ([96, 96, 3], 0.25, None)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({}, "without a constructor"),
        ({"constructor": 3}, "whose constructor is 3: expected a str"),
        ({"constructor": "f", "code": "x"}, r"with unknown keys \['code'\]"),
        ({"constructor": {"b": "f"}}, "with the choice"),
        ({"constructor": "f", "arguments": {"a": {"b": 1}}}, "with the choice"),
        ({"constructor": "f", "arguments": {"a": {"b": {}, "c": {}}}}, "with the choice"),
    ],
)
def test_entries_are_checked(entry: dict[str, Any], why: str) -> None:
    with pytest.raises(MappingError, match=rf"x.toml: the table has the network of 'keras' {why}"):
        read_networks({"keras": entry}, ["tf", "keras"], Path("x.toml"))


def test_a_network_needs_its_dialect() -> None:
    with pytest.raises(MappingError, match="the network of 'flax', which is not a dialect of the table"):
        read_networks({"flax": {"constructor": "f"}}, ["tf"], Path("x.toml"))


@pytest.mark.parametrize(
    ("spec", "dialect"),
    [
        ("timm", "timm"),
        ("timm:exact", "timm"),
        ("hf", "hf"),
        ("transformers", "hf"),
        ("keras.applications", "keras"),
        ("torchvision", "torchvision"),
        ("pretrainedmodels", "cadene"),
        ("keras", None),
        ("torch:file", None),
        ("golden", None),
        ("net.py:build", None),
        ("", None),
    ],
)
def test_a_side_names_a_library_or_its_dialect(spec: str, dialect: str | None) -> None:
    found = named_library(spec)
    assert (found and found.name) == dialect


def test_an_overlay_cannot_name_a_module_to_import(tmp_path: Path) -> None:
    from porter.mapping.dialects import declare

    with pytest.raises(MappingError, match=r"unknown keys \['library'\]"):
        declare("theirs", {"framework": "torch", "library": "os"}, tmp_path)
    assert not declare("theirs", {"framework": "keras"}, tmp_path).library
    assert DIALECTS["keras"].library == "keras.applications"
