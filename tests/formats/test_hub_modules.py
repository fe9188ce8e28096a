"""TF-Hub modules, as folders and as the .tar.gz that tfhub.dev sends: the graph, its weights and the command."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from helpers import tables
from helpers.checkpoints import SMALL
from porter.errors import FormatError
from porter.formats.open import open_checkpoint
from porter.verbs.inspect import inspect, open_graph
from porter.verbs.inspection import GraphInspection
from porter.verbs.seed import seed


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module of TensorFlow 1: two graphs, one of them for training, and variables."""
    from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

    from porter.catalog.goldens import recorded

    folder = tmp_path_factory.mktemp("hub") / "module"
    (folder / "variables").mkdir(parents=True)
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # ModuleDef.format = FORMAT_SAVED_MODEL
    metas = [MetaGraphDef(graph_def=recorded(SMALL).load_graph()) for _ in range(2)]
    metas[1].meta_info_def.tags.append("train")
    messages = [tables.message(2, meta.SerializeToString()) for meta in metas]
    (folder / "saved_model.pb").write_bytes(tables.number(1, 1) + b"".join(messages))
    seed(SMALL, folder / "variables" / "variables")
    return folder


def packed(module: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in ("tfhub_module.pb", "saved_model.pb", "variables"):
            archive.add(module / name, f"./{name}")
    return path


def test_a_module_is_its_graph(module: Path, tmp_path: Path) -> None:
    for path in (module, packed(module, tmp_path / "module.tar.gz")):
        found = inspect(path)
        assert isinstance(found, GraphInspection)
        assert found.path == path
        assert found.analysis.source.format == "TF-Hub module"
        assert found.recognised is not None
        assert found.recognised.models == (SMALL,)
        assert f"--checkpoint {path} " in (found.recognised.command or "")
        assert "tagged train" in found.analysis.source.notes[0]
        assert open_graph(path).multiply_adds == found.analysis.multiply_adds
        assert len(open_checkpoint(path).entries) == 137


def test_the_mark_alone_is_named(module: Path) -> None:
    with pytest.raises(FormatError, match=r"tfhub_module\.pb only says that its folder is a TF-Hub module: name the"):
        open_checkpoint(module / "tfhub_module.pb")
