"""Architectures are recognised by their variables, whole or inside something else, and the command is the right one."""

from __future__ import annotations

import pytest

from helpers.checkpoints import Saver, seeded_variables
from helpers.graphs import analysed, path_of, renamed
from porter import inspect
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, find_arch
from porter.formats.tensorflow.source import load_graph
from porter.mapping.recognise import recognise, title
from porter.verbs.inspect import GraphInspection, Inspection, inspect_graph

NAME = "mobilenet_v1_0.25_128"
SHAPES = recorded(NAME).variables


def test_a_graph_is_recognised_with_its_input_size() -> None:
    result = inspect(path_of(NAME))
    assert isinstance(result, GraphInspection)
    assert result.recognised is not None
    assert result.recognised.sentence == "MobileNet V1 0.25 at 128"
    assert result.recognised.models == (NAME,)
    command = f"port {NAME} --from tf --to torch --checkpoint model.ckpt --out model.safetensors"
    assert result.recognised.command == command


def test_a_checkpoint_fits_every_size(save: Saver) -> None:
    result = inspect(save(seeded_variables()))
    assert isinstance(result, Inspection)
    assert result.recognised is not None
    assert len(result.recognised.models) == 4
    assert "the same at 224, 192, 160, 128" in result.recognised.sentence


def test_one_inside_another_network_is_found_in_its_scope() -> None:
    graph = renamed(load_graph(path_of(NAME)), lambda name: name if name == "input" else f"FeatureExtractor/{name}")
    found = inspect_graph(analysed(graph)).recognised
    assert found is not None
    assert found.sentence == "contains MobileNet V1 0.25 at 128, in the scope FeatureExtractor"
    assert found.command is None  # port takes no scope


def test_a_body_without_its_classifier_says_so() -> None:
    body = {name: shape for name, shape in SHAPES.items() if "Logits" not in name}
    (match, *_) = recognise(body)
    assert not match.whole
    assert match.classes is None


def test_another_number_of_classes_is_said() -> None:
    shapes = {n: (*s[:-1], 7) if "Logits" in n else s for n, s in SHAPES.items()}
    (match, *_) = recognise(shapes, 128)
    assert (match.classes, match.arch.name) == (7, NAME)


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_what_is_not_whole_is_not_recognised(change: str) -> None:
    shapes: dict[str, tuple[int, ...]] = dict(SHAPES)
    name = "MobilenetV1/Conv2d_5_depthwise/BatchNorm/beta"
    if change == "missing":
        del shapes[name]
    else:
        shapes[name] = (63,)
    assert recognise(shapes) == []


# One model of each architecture: those of other sizes have the same variables.
ARCHITECTURES = sorted({recorded(name).shared.name for name in ARCHS})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_recognised_alone_and_inside_another_network(name: str) -> None:
    golden, arch = recorded(name), find_arch(name)
    graph = golden.load_graph()
    found = inspect_graph(analysed(graph)).recognised
    assert found is not None
    assert found.sentence == title(arch, sized=True)
    assert found.models == (name,)
    inside = inspect_graph(analysed(renamed(graph, lambda node: f"Stranger/{node}"))).recognised
    assert inside is not None
    assert inside.sentence == f"contains {title(arch, sized=True)}, in the scope Stranger"


def test_titles_are_spelled_as_in_the_papers() -> None:
    assert title(recognise(SHAPES, 128)[0].arch, sized=True) == "MobileNet V1 0.25 at 128"
