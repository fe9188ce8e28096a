"""Names are found behind a prefix and in another root scope, in any dialect; what lies outside is counted by scope."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.checkpoints import in_memory, seeded_variables
from porter.catalog.goldens import recorded
from porter.catalog.models import find_arch
from porter.errors import MappingError
from porter.mapping.description import describe
from porter.mapping.places import Place, by_scope, places, root_scope
from porter.mapping.recognise import recognise, variable_shapes
from porter.mapping.translate import Options, Translation, translate

ARCH = find_arch("mobilenet_v1_0.25_128")
NET = seeded_variables()
ROOT = "MobilenetV1"


def moved(scope: str, tensors: dict[str, np.ndarray] = NET) -> dict[str, np.ndarray]:
    """Return ``tensors`` with ``scope`` in place of their root scope."""
    return {f"{scope}{name.removeprefix(ROOT + '/')}": value for name, value in tensors.items()}


def translated(tensors: dict[str, np.ndarray], **options: object) -> Translation:
    return translate(in_memory(tensors), ARCH, "tf", "torch", Options(**options))  # type: ignore[arg-type]


def same_values(found: Translation) -> bool:
    """Tell whether ``found`` has the tensors of the network under its own names, bit for bit."""
    want = translated(NET).entries
    return all(np.array_equal(found.entries[name].load(), entry.load()) for name, entry in want.items())


@pytest.mark.parametrize(
    ("scope", "prefix", "renamed"),
    [
        ("MobilenetV1_1/", "", {"MobilenetV1_1": ROOT}),  # slim's second instance
        ("my_backbone/", "", {"my_backbone": ROOT}),
        ("tower/net/MobilenetV1_7/", "tower/net/", {"MobilenetV1_7": ROOT}),
        ("", "", {"": ROOT}),  # a scope of one's own that is empty
    ],
)
def test_another_root_scope_is_found_where_all_names_and_shapes_fit(
    scope: str, prefix: str, renamed: dict[str, str]
) -> None:
    found = translated(moved(scope))
    assert (found.prefix, found.renamed) == (prefix, renamed)
    assert same_values(found)


def test_averages_follow_their_variables_into_another_scope() -> None:
    tensors = moved("net/")
    tensors |= {f"{name}/ExponentialMovingAverage": value * 2 for name, value in tensors.items()}
    found = translated(tensors)
    assert found.average == "ema"
    assert np.array_equal(found.entries["bn1.bias"].load(), NET[f"{ROOT}/Conv2d_0/BatchNorm/beta"] * 2)


def test_a_scope_with_another_shape_is_not_taken_by_itself() -> None:
    tensors = moved("my_backbone/")
    tensors["my_backbone/Conv2d_5_pointwise/weights"] = np.zeros((1, 1, 64, 63), np.float32)
    with pytest.raises(MappingError, match="has none of the tensors"):
        translated(tensors)
    with pytest.raises(MappingError, match=r"my_backbone/Conv2d_5_pointwise/weights has shape \(1, 1, 64, 63\)"):
        translated(tensors, rename={"my_backbone": ROOT})


def test_a_scope_that_lacks_a_tensor_is_not_taken_by_itself() -> None:
    tensors = moved("my_backbone/")
    del tensors["my_backbone/Conv2d_5_pointwise/weights"]
    with pytest.raises(MappingError, match="has none of the tensors"):
        translated(tensors)
    with pytest.raises(MappingError, match=r"lacks 1 of the 137 .*\n  my_backbone/Conv2d_5_pointwise/weights"):
        translated(tensors, rename={"my_backbone": ROOT})


TOWERS = [
    ({**moved("tower_0/MobilenetV1/"), **moved("tower_1/MobilenetV1/")}, ["prefix='tower_0/'", "prefix='tower_1/'"]),
    ({**NET, **moved("MobilenetV1_1/")}, ["prefix=''", "rename={'MobilenetV1_1': 'MobilenetV1'}"]),
    ({**moved("a/"), **moved("b/")}, ["rename={'a': 'MobilenetV1'}", "rename={'b': 'MobilenetV1'}"]),
]


@pytest.mark.parametrize(("tensors", "ways"), TOWERS, ids=["prefixes", "second instance", "own scopes"])
def test_two_towers_are_listed_and_each_way_takes_one(tensors: dict[str, np.ndarray], ways: list[str]) -> None:
    with pytest.raises(MappingError, match="holds the model 2 times, in the scopes") as refused:
        translated(tensors)
    assert all(f"`{way}`" in str(refused.value) for way in ways)
    scopes = set()
    for way in refused.value.ways:
        found = translated(tensors, **way)
        assert same_values(found)
        assert list(found.other_scopes.values()) == [137]
        scopes |= found.other_scopes.keys()
    assert len(scopes) == 2


def test_a_chosen_tower_leaves_out_only_the_other_towers() -> None:
    tensors = {
        **moved("tower_0/MobilenetV1/"),
        **moved("tower_1/MobilenetV1/"),
        "loss/weights": np.zeros(3, np.float32),
    }
    with pytest.raises(MappingError, match=r"1 variable in model.ckpt is neither .*\n  loss/weights"):
        translated(tensors, prefix="tower_1/")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rename": {"net": "MobileNet"}}, r"names the scope 'MobileNet', which the model does not have: its scope is"),
        ({"rename": {"nobody": ROOT}}, r"no tensor stands in the scope 'nobody/', which `rename` names"),
        ({"rename": {"tower/MobilenetV1": ROOT}}, r"only puts scopes before the names: take `prefix='tower/'`"),
        (
            {"prefix": "nobody/"},
            r"'nobody/' precedes none of the model's names: they follow '', 'tower/'; give another `prefix`",
        ),
    ],
)
def test_scopes_that_are_not_there_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(MappingError, match=message):
        translated({**NET, **moved("tower/MobilenetV1/")}, **options)


@pytest.mark.parametrize("prefix", ["module.", "model.module.", "backbone."])
def test_pytorchs_scopes_end_in_dots(prefix: str) -> None:
    ours = {name: entry.load() for name, entry in translated(NET).entries.items()}
    wrapped = in_memory({prefix + name: value for name, value in ours.items()})
    found = translate(wrapped, ARCH, "torch", "torch")
    assert found.prefix == prefix
    assert all(np.array_equal(found.entries[name].load(), value) for name, value in ours.items())


def test_places_of_names_without_a_common_scope_have_no_other_root() -> None:
    names = ["conv0/weights", "cell/beta"]
    assert root_scope(names, "/") is None
    assert places(["x/conv0/weights", "x/cell/beta"], names, "/") == {Place(): set(), Place("x/"): set(names)}


def test_what_lies_outside_is_counted_by_the_outermost_scope_without_the_network() -> None:
    known = ["net/conv/weights", "net/bn/beta"]
    names = ["box/a/weights", "box/b/weights", "net/extra/weights", "net/extra/bn/beta", "alone"]
    assert by_scope(names, known, "/") == {"box": 2, "net/extra": 2, "alone": 1}


def two_stages() -> dict[str, np.ndarray]:
    """Return a Faster R-CNN over NASNet-A Mobile: its last cells are in the second stage, its classifier is not there.

    The scopes are those of tensorflow/models#2203.
    """
    late = ("cell_8", "cell_9", "cell_10", "cell_11", "reduction_cell_1")
    tensors = {"SecondStageBoxPredictor/ClassPredictor/weights": np.zeros((2, 3), np.float32)}
    for name, shape in recorded("nasnet_mobile").variables.items():
        if not name.startswith("final_layer"):
            stage = "Second" if name.split("/")[0] in late else "First"
            tensors[f"{stage}StageFeatureExtractor/{name}"] = np.zeros(shape, np.float32)
    return tensors


def test_the_parts_of_a_network_in_two_scopes_are_put_together() -> None:
    tensors = two_stages()
    arch = find_arch("nasnet_mobile")
    found = translate(in_memory(tensors), arch, "tf", "tf", Options(backbone=True))
    assert found.prefixes.keys() == {"FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/"}
    assert sum(found.prefixes.values()) == len(found.entries) == len(tensors) - 1
    assert found.taken["cell_8/beginning_bn/beta"] == "SecondStageFeatureExtractor/cell_8/beginning_bn/beta"
    assert found.other_scopes == {"SecondStageBoxPredictor": 1}
    match = recognise(variable_shapes(in_memory(tensors).entries))[0]
    assert "in the scopes FirstStageFeatureExtractor and SecondStageFeatureExtractor" in describe([match], 224)


@pytest.mark.parametrize("change", ["twice", "missing", "shape"])
def test_parts_that_do_not_fit_are_not_put_together(change: str) -> None:
    tensors = two_stages()
    name = "cell_8/beginning_bn/beta"
    if change == "twice":
        tensors[f"FirstStageFeatureExtractor/{name}"] = tensors[f"SecondStageFeatureExtractor/{name}"]
    else:
        value = tensors.pop(f"SecondStageFeatureExtractor/{name}")
        if change == "shape":
            tensors[f"SecondStageFeatureExtractor/{name}"] = value[:-1]
    with pytest.raises(MappingError, match=r"lacks .* of the .* tensors of nasnet_mobile"):
        translate(in_memory(tensors), find_arch("nasnet_mobile"), "tf", "tf", Options(backbone=True))


def test_a_momentum_encoder_is_a_second_copy() -> None:
    """facebookresearch/moco#84: encoder_q and encoder_k, a queue, and perhaps module. before all of them."""
    ours = {name: entry.load() for name, entry in translated(NET).entries.items()}
    tensors = {f"module.{scope}.{name}": value for scope in ("encoder_q", "encoder_k") for name, value in ours.items()}
    tensors |= {"module.queue": np.zeros((2, 3), np.float32), "module.queue_ptr": np.zeros(1, np.float32)}
    with pytest.raises(MappingError, match=r"in the scopes 'module.encoder_q', 'module.encoder_k'") as refused:
        translate(in_memory(tensors), ARCH, "torch", "keras", Options(backbone=True))
    assert refused.value.ways == ({"prefix": "module.encoder_q."}, {"prefix": "module.encoder_k."})
    chosen = Options(prefix="module.encoder_q.", backbone=True)
    found = translate(in_memory(tensors), ARCH, "torch", "keras", chosen)
    assert found.other_scopes == {"module.encoder_k": 137, "module.queue": 1, "module.queue_ptr": 1}


def test_averages_with_flattened_names_are_outside_of_the_network() -> None:
    """zcablii/LSKNet#48: mmcv's EMA hook keeps ema_backbone_conv1_weight beside backbone.conv1.weight."""
    ours = {name: entry.load() for name, entry in translated(NET).entries.items()}
    tensors = {f"backbone.{name}": value for name, value in ours.items()}
    tensors |= {f"ema_backbone_{name.replace('.', '_')}": value + 1 for name, value in ours.items()}
    found = translate(in_memory(tensors), ARCH, "torch", "keras", Options(backbone=True))
    assert sum(found.other_scopes.values()) == 137
    assert np.array_equal(found.entries["conv1_bn/beta"].load(), ours["bn1.bias"])
