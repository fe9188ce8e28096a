"""The network inside a larger one: a detector's feature extractor, an encoder, a model in a container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.checkpoints import Saver, detector, seeded_variables
from porter import port, verify
from porter.errors import MappingError, PorterError
from porter.mapping.head import Head

NAME = "mobilenet_v1_0.25_128"
REST = {
    "BoxPredictor_0": 4,
    "BoxPredictor_1": 4,
    "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_1_Conv2d_2_1x1_64": 5,
}


def test_a_detectors_feature_extractor_is_ported_in_one_step_and_verified(tf: Any, save: Saver, tmp_path: Path) -> None:
    """ceccocats/tkDNN#130, tensorflow/models#5891."""
    shadows = {f"{name}/ExponentialMovingAverage": value for name, value in detector().items()}
    checkpoint, out = save({**detector(), **shadows, "global_step": np.int64(5)}), tmp_path / "backbone.safetensors"
    result = port(NAME, checkpoint=checkpoint, backbone=True, out=out, verify=True)
    assert result, str(result.verification and result.verification.ports)
    assert (result.translation.prefix, result.translation.average) == ("FeatureExtractor/", "ema")
    assert result.translation.other_scopes == REST
    assert result.as_dict()["other_scopes"] == REST
    want = port(NAME, checkpoint=save(seeded_variables(), "whole.ckpt"), head=Head(no_head=True)).translation.entries
    stored = load_file(out)
    assert stored.keys() == want.keys()
    assert all(np.array_equal(stored[name], entry.load()) for name, entry in want.items())


def test_verify_takes_a_backbone_too(tf: Any, save: Saver) -> None:
    result = verify(NAME, checkpoint=save(detector()), backbone=True, images=[])
    assert result
    assert [row.endpoint for row in result.ports["torch"].rows][-1] == "AvgPool_1a"


def test_without_it_the_error_names_it(save: Saver) -> None:
    checkpoint = save(detector())
    with pytest.raises(MappingError) as refused:
        port(NAME, checkpoint=checkpoint)
    assert refused.value.ways == ({"backbone": True},)
    assert "in the scope FeatureExtractor, without its classifier" in str(refused.value)


def test_a_fresh_head_fits_a_backbone_and_the_released_one_does_not(save: Saver) -> None:
    checkpoint = save(detector())
    fresh = port(NAME, checkpoint=checkpoint, backbone=True, head=Head(num_classes=7))
    assert fresh.translation.num_classes == 7
    with pytest.raises(PorterError, match="`backbone` leaves the classifier out and `drop_background` needs it"):
        port(NAME, checkpoint=checkpoint, backbone=True, head=Head(drop_background=True))


def test_a_backbone_in_another_root_scope_is_found_by_its_shapes(save: Saver) -> None:
    tensors = {name.replace("MobilenetV1/", "encoder/"): value for name, value in detector().items()}
    found = port(NAME, checkpoint=save(tensors), backbone=True).translation
    assert (found.prefix, found.renamed) == ("FeatureExtractor/", {"encoder": "MobilenetV1"})
    assert sum(found.other_scopes.values()) == 13


@pytest.mark.parametrize("scope", ["backbone.", "encoder.body.", "module.backbone."])
def test_pytorch_containers(save: Saver, tmp_path: Path, scope: str) -> None:
    out = tmp_path / "ours.safetensors"
    port(NAME, checkpoint=save(seeded_variables()), out=out)
    ours = load_file(out)
    larger = {scope + name: value for name, value in ours.items() if "classifier" not in name}
    heads = {"head.0.weight": np.ones((4, 4), np.float32), "neck.bias": np.ones(3, np.float32)}
    save_file({**larger, **heads}, tmp_path / "larger.safetensors")
    found = port(NAME, "torch", "keras", checkpoint=tmp_path / "larger.safetensors", backbone=True).translation
    assert found.prefix == scope
    assert found.other_scopes == {"head": 1, "neck": 1}


def test_two_backbones_are_listed(save: Saver) -> None:
    tensors = {f"{scope}/{name}": value for scope in ("left", "right") for name, value in seeded_variables().items()}
    with pytest.raises(MappingError, match="in the scopes 'left', 'right'") as refused:
        port(NAME, checkpoint=save(tensors), backbone=True)
    assert refused.value.ways == ({"prefix": "left/"}, {"prefix": "right/"})
    found = port(NAME, checkpoint=save(tensors), backbone=True, prefix="right/").translation
    assert found.other_scopes == {"left": 137}


def test_a_body_that_is_not_whole_is_no_backbone(save: Saver) -> None:
    tensors = detector()
    del tensors["FeatureExtractor/MobilenetV1/Conv2d_3_depthwise/depthwise_weights"]
    with pytest.raises(MappingError, match="lacks 1 of the 135 tensors"):
        port(NAME, checkpoint=save(tensors), backbone=True)
