"""Files that do without some tensors of the original: folded batch norms, absent roles, other image channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL, seeded_variables
from helpers.variants import as_checkpoint, fold, with_channels, without_gamma
from porter.catalog.goldens import recorded
from porter.catalog.models import find_arch
from porter.errors import MappingError
from porter.formats.roles import SHADOW_SUFFIX
from porter.mapping.folded import LARGEST_ERROR, original_convolutions, unit_norm
from porter.mapping.translate import Options, Translation, translate

ARCH = find_arch(SMALL)
Tensors = dict[str, np.ndarray]


def translated(tensors: Tensors, source: str = "tf", target: str = "tf", **options: Any) -> Translation:
    return translate(as_checkpoint(tensors), ARCH, source, target, Options(**options))


def values(translation: Translation) -> Tensors:
    return {name: entry.load() for name, entry in translation.entries.items()}


@pytest.fixture
def seeds() -> Tensors:
    return seeded_variables()


# ---- the batch norm that changes nothing
@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 2e-5, 1e-4, 1e-2, 1e-6, float(np.float32(1e-3))])
def test_gamma_and_variance_change_nothing(epsilon: float) -> None:
    gamma, variance = unit_norm(epsilon)
    assert (gamma.dtype, variance.dtype) == (np.float32, np.float32)
    assert abs(float(gamma) / np.sqrt(float(variance) + epsilon) - 1) < LARGEST_ERROR <= 1e-10
    assert gamma * (np.float32(1) / np.sqrt(variance + np.float32(epsilon))) == 1
    assert 0.5 <= gamma <= 1
    # What one would write by hand is not good enough.
    assert abs(1 / np.sqrt(float(np.float32(1 - epsilon)) + epsilon) - 1) > LARGEST_ERROR


# ---- folded batch norms
def check_unfolded(got: Tensors, given: Tensors, scope: str) -> None:
    norm = f"{scope}/BatchNorm"
    gamma, variance = unit_norm(1e-3)
    assert np.array_equal(got[f"{norm}/beta"], given[f"{scope}/biases"])
    for part, value in (("gamma", gamma), ("moving_mean", 0), ("moving_variance", variance)):
        assert got[f"{norm}/{part}"].dtype == np.float32
        assert np.array_equal(got[f"{norm}/{part}"], np.full_like(given[f"{scope}/biases"], value))


def test_folded_batch_norms_are_given_back(seeds: Tensors) -> None:
    folded = fold(seeds)
    assert len(folded) == 2 * 28
    found = translated(folded)
    got = values(found)
    assert got.keys() == seeds.keys()
    for name in folded:
        if name.endswith("/biases") and "Logits" not in name:
            check_unfolded(got, folded, name.removesuffix("/biases"))
        else:
            assert np.array_equal(got[name], folded[name])
    assert found.roles == {"variable": 56}
    assert found.notes == (
        "the batch norms are folded into the convolutions: beta is the convolution's bias, and gamma and variance "
        "change nothing, with |gamma / sqrt(variance + epsilon) - 1| < 1e-12",
    )


def test_layers_are_unfolded_one_by_one(seeds: Tensors) -> None:
    folded = fold(seeds, lambda scope: scope.endswith(("Conv2d_0", "_depthwise")))
    found = translated(folded)
    got = values(found)
    check_unfolded(got, folded, "MobilenetV1/Conv2d_0")
    check_unfolded(got, folded, "MobilenetV1/Conv2d_7_depthwise")
    kept = [name for name in seeds if "pointwise" in name]
    assert len(kept) == 5 * 13
    assert all(np.array_equal(got[name], seeds[name]) for name in kept)
    assert found.notes[0].startswith("14 of 27 batch norms are folded into the convolutions")


def test_partly_folded_and_without_gamma(seeds: Tensors) -> None:
    folded = without_gamma(fold(seeds, lambda scope: scope.endswith("Conv2d_0")))
    found = translated(folded)
    got = values(found)
    check_unfolded(got, folded, "MobilenetV1/Conv2d_0")
    assert np.all(got["MobilenetV1/Conv2d_5_pointwise/BatchNorm/gamma"] == 1)
    assert [note.split(":")[0] for note in found.notes] == [
        "1 of 27 batch norms are folded into the convolutions",
        "no batch norm has a gamma",
    ]


@pytest.mark.parametrize("source", ["torch", "keras"])
def test_convolutions_with_a_bias_and_no_batch_norm(seeds: Tensors, source: str) -> None:
    """torch.nn.utils.fuse_conv_bn_eval leaves the bias beside the weight; so do people who fold Keras models."""
    separator = {"torch": ".", "keras": "/"}[source]
    folded = fold(seeds)
    whole = values(translated(folded, "tf", source))
    norms = {"torch": "bn", "keras": "_bn/"}[source]
    theirs = {name: value for name, value in whole.items() if norms not in name}
    convolutions = [name for name in theirs if name.endswith(("weight", "kernel"))]
    offsets = [value for name, value in folded.items() if name.endswith("/biases") and "Logits" not in name]
    # Kernels are in graph order in both.
    for name, offset in zip(convolutions, offsets, strict=False):
        theirs[name.rpartition(separator)[0] + separator + "bias"] = offset
    assert len(theirs) == 56
    got = values(translated(theirs, source, "tf"))
    want = values(translated(folded))
    assert all(np.array_equal(got[name], want[name]) for name in want)


def test_folded_weights_keep_their_averages(seeds: Tensors) -> None:
    folded = fold(seeds)
    averages = {name + SHADOW_SUFFIX: value * np.float32(2) for name, value in folded.items()}
    found = translated(folded | averages)
    assert (found.average, found.roles) == ("ema", {"variable": 56, "EMA shadow": 56})
    assert np.array_equal(
        values(found)["MobilenetV1/Conv2d_0/BatchNorm/beta"], folded["MobilenetV1/Conv2d_0/biases"] * 2
    )
    raw = translated(folded | averages, average="raw")
    assert np.array_equal(values(raw)["MobilenetV1/Conv2d_0/BatchNorm/beta"], folded["MobilenetV1/Conv2d_0/biases"])


def test_half_precision_gets_a_float32_batch_norm(seeds: Tensors) -> None:
    got = values(translated({name: value.astype(np.float16) for name, value in fold(seeds).items()}))
    assert got["MobilenetV1/Conv2d_0/BatchNorm/gamma"].dtype == np.float32
    assert got["MobilenetV1/Conv2d_0/BatchNorm/beta"].dtype == np.float16


def test_a_bias_beside_a_batch_norm_is_not_taken_for_a_folded_one(seeds: Tensors) -> None:
    odd = {**seeds, "MobilenetV1/Conv2d_0/biases": np.ones(8, np.float32)}
    with pytest.raises(MappingError, match="MobilenetV1/Conv2d_0/biases"):
        translated(odd)
    del odd["MobilenetV1/Conv2d_0/BatchNorm/gamma"]
    with pytest.raises(MappingError, match="MobilenetV1/Conv2d_0/BatchNorm/gamma"):
        translated(odd)


def test_a_convolution_without_its_batch_norm_and_bias_is_damage(seeds: Tensors) -> None:
    folded = fold(seeds)
    del folded["MobilenetV1/Conv2d_3_depthwise/biases"]
    with pytest.raises(MappingError, match="Conv2d_3_depthwise/BatchNorm"):
        translated(folded)


@pytest.mark.parametrize(("model", "folded", "of"), [("nasnet_mobile", 188, 192), ("nasnet_cifar", 242, 244)])
def test_nasnet_folds_all_but_its_factorized_reductions(model: str, folded: int, of: int) -> None:
    """There one batch norm follows two convolutions, which no tool folds."""
    arch, tensors = find_arch(model), seeded_variables(model)
    given = dict(tensors)
    for convolution in original_convolutions(recorded(model)):
        if convolution.norm:
            for name in convolution.norm.values():
                del given[name]
            bias = convolution.kernel.rpartition("/")[0] + "/biases"
            given[bias] = np.full(tensors[convolution.kernel].shape[3], 0.5, np.float32)
    found = translate(as_checkpoint(given), arch, "tf", "torch")
    assert len(found.entries) == len(tensors)
    assert found.notes[0].startswith(f"{folded} of {of} batch norms are folded")
    assert found.roles == {"variable": len(tensors) - 3 * folded}


# ---- roles that a file never has
def test_a_net_without_gamma_has_gammas_of_one(seeds: Tensors) -> None:
    found = translated(without_gamma(seeds))
    got = values(found)
    gammas = [name for name in seeds if name.endswith("/gamma")]
    assert len(gammas) == 27
    for name in gammas:
        assert np.array_equal(got[name], np.ones(seeds[name].shape, np.float32))
    assert found.notes == ("no batch norm has a gamma: it is 1 in the port",)
    assert found.roles == {"variable": 110}


@pytest.mark.parametrize("source", ["torch", "keras"])
def test_any_dialect_may_lack_gamma_and_beta(seeds: Tensors, source: str) -> None:
    """torch.nn.BatchNorm2d(affine=False); keras.layers.BatchNormalization(scale=False, center=False)."""
    plain = {
        name: value for name, value in seeds.items() if "BatchNorm" not in name or name.endswith(("mean", "variance"))
    }
    whole = values(translated(plain, "tf", source))
    pairs = values(translated(seeds, "tf", source))
    norms = [name for name in pairs if name.endswith((".weight", ".bias", "gamma", "beta")) and "bn" in name]
    found = translated({name: value for name, value in whole.items() if name not in norms}, source, "tf")
    assert set(found.notes) == {
        "no batch norm has a gamma: it is 1 in the port",
        "no batch norm has a beta: it is 0 in the port",
    }
    got = values(found)
    assert np.all(got["MobilenetV1/Conv2d_0/BatchNorm/gamma"] == 1)
    assert np.all(got["MobilenetV1/Conv2d_0/BatchNorm/beta"] == 0)
    assert all(np.array_equal(got[name], value) for name, value in plain.items())


@pytest.mark.parametrize("lost", ["gamma", "beta"])
def test_one_absent_tensor_is_damage(seeds: Tensors, lost: str) -> None:
    del seeds[f"MobilenetV1/Conv2d_4_depthwise/BatchNorm/{lost}"]
    with pytest.raises(MappingError, match=f"Conv2d_4_depthwise/BatchNorm/{lost}"):
        translated(seeds)


@pytest.mark.parametrize("lost", ["moving_mean", "weights"])
def test_a_role_without_a_fill_is_never_made_up(seeds: Tensors, lost: str) -> None:
    with pytest.raises(MappingError, match=lost):
        translated({name: value for name, value in seeds.items() if not name.endswith(f"/{lost}") or "Logits" in name})


def test_gammas_of_one_have_averages_where_the_others_have(seeds: Tensors) -> None:
    plain = without_gamma(seeds)
    averages = {name + SHADOW_SUFFIX: value * np.float32(1.01) for name, value in plain.items()}
    found = translated(plain | averages)
    assert found.average == "ema"
    assert np.all(values(found)["MobilenetV1/Conv2d_0/BatchNorm/gamma"] == 1)


# ---- image channels
@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize("target", ["torch", "keras"])
def test_image_channels_follow_the_checkpoint(seeds: Tensors, channels: int, target: str) -> None:
    given = with_channels(seeds, channels)
    found = translated(given, "tf", target)
    assert found.in_channels == channels
    back = translated(values(found), target, "tf")
    assert back.in_channels == channels
    assert all(np.array_equal(value, given[name]) for name, value in values(back).items())


def test_only_the_stem_reads_images(seeds: Tensors) -> None:
    seeds["MobilenetV1/Conv2d_1_pointwise/weights"] = seeds["MobilenetV1/Conv2d_1_pointwise/weights"][:, :, :1]
    with pytest.raises(MappingError, match=r"Conv2d_1_pointwise/weights has shape \(1, 1, 1, 16\)"):
        translated(seeds)


def test_an_image_has_a_channel(seeds: Tensors) -> None:
    with pytest.raises(MappingError, match=r"Conv2d_0/weights has shape \(3, 3, 0, 8\)"):
        translated(with_channels(seeds, 0))
