"""Dialects are records; what a framework names by default, a dialect may name otherwise."""

from __future__ import annotations

import pytest

from porter.mapping.dialects import DIALECTS, FRAMEWORKS, ORIGINAL, Dialect
from porter.mapping.kinds import KINDS, statistic_leaves
from porter.mapping.stored_names import stored_names


def test_the_frameworks_and_their_titles_come_from_the_records() -> None:
    assert FRAMEWORKS == {"tf": "TensorFlow", "torch": "PyTorch", "keras": "Keras"}
    assert {record.framework for record in DIALECTS.values()} <= FRAMEWORKS.keys()
    assert ORIGINAL in FRAMEWORKS


def test_every_kind_has_each_role_once_and_leaves_in_each_framework() -> None:
    for kind, tensors in KINDS.items():
        assert len({tensor.role for tensor in tensors}) == len(tensors), kind
        assert all(tensor.leaves.keys() == FRAMEWORKS.keys() for tensor in tensors)
    for dialect in DIALECTS.values():
        for kind, tensors in KINDS.items():
            assert len({tensor.leaf(dialect, kind).name for tensor in tensors}) == len(tensors)


def test_a_dialects_leaf_is_the_kinds_then_the_roles_then_the_frameworks() -> None:
    leaves = {"gamma": "scale", "conv": {"kernel": "w"}}
    dialect = Dialect("mine", "torch", ".", "Mine", leaves=leaves)
    names = {
        (kind, tensor.role): tensor.leaf(dialect, kind)
        for kind in ("conv", "conv_bias", "batch_norm")
        for tensor in KINDS[kind]
    }
    assert names["conv", "kernel"] == ("w", "OIHW")
    assert names["conv_bias", "kernel"] == ("weight", "OIHW")
    assert names["batch_norm", "gamma"] == ("scale", "O")
    assert names["batch_norm", "beta"] == ("bias", "O")
    assert statistic_leaves(dialect) == {"running_mean": False, "running_var": True}


@pytest.mark.parametrize("stored", ["dw/kernel", "scope/dw/kernel", "dw/depthwise_kernel", "a/b/dw/depthwise_kernel"])
def test_keras_files_drop_scopes_and_older_ones_have_other_leaves(stored: str) -> None:
    assert stored_names([stored], ["block/dw/kernel"], DIALECTS["keras"]) == {"block/dw/kernel": stored}
    assert stored_names([stored], ["block/dw/kernel"], DIALECTS["tf"]) == {"block/dw/kernel": "block/dw/kernel"}
