"""NASNet's auxiliary head, compared with slim's training graph with frozen statistics, and ported through files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from helpers.activations import nchw
from helpers.checkpoints import Saver
from helpers.slims_nasnet import distance
from porter import load, port
from porter.catalog.goldens import recorded, seeded_entries
from porter.catalog.models import find_arch
from porter.catalog.seeded_weights import seeded
from porter.cli.main import main
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW_SUFFIX
from porter.mapping.head import Head
from porter.mapping.relayout import relayout
from porter.mapping.table import Table
from porter.mapping.translate import Options, translate
from porter.nets.build import build
from porter.nets.nasnet.torch import AuxiliaryHead
from porter.runners.golden import golden_images
from porter.verbs.seed import seed
from record import recipes
from recorders import slim

# tf-slim's, of tf-keras.
pytestmark = pytest.mark.filterwarnings("ignore:`.*` is deprecated and will be removed:UserWarning")

CLASSIFIER = "aux_11/aux_logits/FC"


def slims(name: str, size: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Return both logits of slim's training graph on one image in float64, and its name-seeded variables.

    Batch norm uses its moving averages and dropout is off, so that only the auxiliary head is left of training.
    """
    pytest.importorskip("tf_slim", reason="needs golden/requirements.txt")
    slim.nets_factory()
    from nets.nasnet import nasnet

    def frozen(functions: Any, **options: Any) -> Any:
        return arg_scope(functions, **{**options, **({"is_training": False} if "is_training" in options else {})})

    arg_scope, recipe = nasnet.arg_scope, replace(recipes()[name], input_size=size)
    with mock.patch.object(nasnet, "arg_scope", frozen):
        network = slim.build(recipe, "float64", training=True)
    variables = [variable for variable in network.variables if variable.op.name != "global_step"]
    logits, endpoints = slim.run(recipe, replace(network, variables=variables), golden_images(size)[:1])
    names = {variable.op.name: variable.shape.as_list() for variable in variables}
    weights = {name: seeded(name, shape, recipe.salt, recipe.gain) for name, shape in names.items()}
    return [logits, endpoints["AuxLogits"]], weights


def checkpoint_of(tensors: dict[str, np.ndarray]) -> Checkpoint:
    entries = {n: Entry(value.shape, value.dtype, lambda value=value: value) for n, value in tensors.items()}
    return Checkpoint(Path("model.ckpt"), "arrays", entries)


def ours(name: str, weights: dict[str, np.ndarray], size: int) -> Any:
    arch = find_arch(name)
    tensors = translate(checkpoint_of(weights), arch, "tf", "torch", Options(parts=("aux",)))
    filled = tensors.as_checkpoint(checkpoint_of(weights))
    return build(arch, "torch", filled, dtype="float64", aux=True, input_size=size)


@pytest.mark.parametrize(
    ("channels", "side", "kernel"),
    [(2016, 21, 6), (2016, 19, 5), (528, 14, 4), (528, 16, 4), (384, 16, 4)],
    ids=["large at 331", "large at 299", "mobile at 224", "mobile at 256", "cifar at 32"],
)
def test_the_head_alone_is_slims(
    slim: SimpleNamespace,
    channels: int,
    side: int,
    kernel: int,
) -> None:
    tf, x = slim.tf, np.random.default_rng(5).standard_normal((2, side, side, channels))
    with (
        tf.Graph().as_default(),
        slim.unfused_batch_norm(),
        slim.layers.arg_scope(slim.nasnet.nasnet_large_arg_scope()),
        slim.layers.arg_scope([slim.layers.batch_norm], is_training=False),
        tf.Session() as session,
    ):
        endpoints: dict[str, Any] = {}
        numbers = SimpleNamespace(use_bounded_activation=False, data_format="NHWC")
        slim.nasnet._build_aux_head(tf.nn.relu(tf.constant(x)), endpoints, 7, numbers, "aux_11")
        weights = {v.op.name: seeded(v.op.name, v.shape.as_list()) for v in tf.global_variables()}
        session.run(
            tf.global_variables_initializer(), {v.initial_value: weights[v.op.name] for v in tf.global_variables()}
        )
        want = session.run(endpoints["AuxLogits"])

    head = AuxiliaryHead(channels, 7, side, lambda channels: torch.nn.BatchNorm2d(channels, eps=1e-3)).double().eval()
    assert head.conv.kernel_size == (kernel, kernel)
    state = {name: value for name, value in head.state_dict().items() if name.endswith("num_batches_tracked")}
    pairs = {pair.source: pair for pair in Table.load("nasnet_large").pairs("tf", "torch", ["aux"])}
    for name, value in weights.items():
        relaid = relayout(value, pairs[name].source_axes, pairs[name].target_axes).copy()
        state[pairs[name].target.removeprefix("aux.")] = torch.from_numpy(relaid)
    head.load_state_dict(state)
    with torch.inference_mode():
        assert distance(head(nchw(x)).numpy(), want) < 1e-12
        head.bn_1.eps *= 2
        assert distance(head(nchw(x)).numpy(), want) > 1e-7


@pytest.mark.slow  # building slim's training graph takes half a minute, of Large minutes
def test_both_logits_are_those_of_slims_training_graph() -> None:
    name, size = "nasnet_mobile", 224
    want, weights = slims(name, size)
    model = ours(name, weights, size)
    pictures = nchw(golden_images(size)[:1].astype(np.float64))
    with torch.inference_mode():
        got = [logits.numpy() for logits in model(pictures)]
        assert max(distance(*pair) for pair in zip(got, want, strict=True)) < 1e-12
        model.aux.bn_1.eps *= 2
        assert distance(model(pictures)[1].numpy(), want[1]) > 1e-7


def test_its_gradients_reach_the_cells_before_it_alone() -> None:
    model = load("nasnet_cifar", aux=True).train()
    _, aux_logits = model(torch.zeros(2, 3, 32, 32))
    aux_logits.sum().backward()
    reached = {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert "cell_11" in reached
    assert not reached & {"reduction_cell_1", "cell_12", "last_linear"}


# ---- ported through files


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed("nasnet_cifar", tmp_path_factory.mktemp("seeded") / "cifar.ckpt", training=True).out


def test_keras_computes_what_pytorch_does(training: Path, tmp_path: Path) -> None:
    """Both read one design. The tests above compare PyTorch's network with slim's."""
    pictures = golden_images(32).astype(np.float64)
    networks = []
    for framework, name in (("torch", "cifar.safetensors"), ("keras", "cifar.keras")):
        port("nasnet_cifar", target=framework, checkpoint=training, out=tmp_path / name, aux=True)
        networks.append(load("nasnet_cifar", framework, weights=tmp_path / name, dtype="float64", aux=True))
    with torch.inference_mode():
        want = [logits.numpy() for logits in networks[0](nchw(pictures))]
    got = [np.asarray(logits) for logits in networks[1](pictures, training=False)]
    assert [logits.shape for logits in got] == [(3, 10), (3, 10)]
    assert all(distance(*pair) < 1e-12 for pair in zip(got, want, strict=True))


def test_it_is_left_out_and_the_report_says_so(training: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = port("nasnet_cifar", checkpoint=training)
    assert result.translation.roles == {
        "EMA shadow": 1436,
        "variable": 1424,
        "auxiliary head variable": 12,
        "step counter": 1,
    }
    assert not any(name.startswith("aux") for name in result.translation.entries)
    arguments = ["nasnet_cifar", "--from", "tf", "--to", "torch", "--checkpoint", str(training)]
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    assert "skipped  the auxiliary head, 12 variables: add --aux to port it" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--json"])
    assert json.loads(capsys.readouterr().out)["left_out"] == {"aux": 12}


def test_a_file_with_it_loads_with_it_and_without(training: Path, tmp_path: Path) -> None:
    out = tmp_path / "cifar.safetensors"
    assert port("nasnet_cifar", checkpoint=training, out=out, aux=True).translation.left_out == {}
    full, plain = load("nasnet_cifar", weights=out, aux=True), load("nasnet_cifar", weights=out)
    x = torch.ones(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(full(x)[0], plain(x))
    assert torch.equal(full.aux.last_linear.bias, torch.from_numpy(1.01 * seeded(f"{CLASSIFIER}/biases", (10,), 0, 1)))
    bare = tmp_path / "bare.safetensors"
    port("nasnet_cifar", checkpoint=training, out=bare)
    with pytest.raises(PorterError, match=r"lacks 12 tensors of the network:\n  12 x aux"):
        load("nasnet_cifar", weights=bare, aux=True)
    with pytest.raises(PorterError, match="`input_size` of its training"):
        load("nasnet_cifar", weights=out, aux=True, input_size=48)


def test_a_fresh_head_is_fresh_in_both_classifiers(training: Path, tmp_path: Path) -> None:
    out = tmp_path / "cifar.safetensors"
    port("nasnet_cifar", checkpoint=training, out=out, aux=True, head=Head(num_classes=3))
    assert [len(logits[0]) for logits in load("nasnet_cifar", weights=out, aux=True)(torch.ones(1, 3, 32, 32))] == [
        3,
        3,
    ]
    with pytest.raises(PorterError, match="`aux` adds a second classifier"):
        port("nasnet_cifar", checkpoint=training, aux=True, head=Head(no_head=True))


def renamed(name: str) -> str:
    return name.replace(CLASSIFIER, CLASSIFIER.replace("FC", "fully_connected"))


@pytest.mark.parametrize("only_shadows", [False, True], ids=["all", "only shadows"])
def test_older_uploads_call_its_classifier_fully_connected(save: Saver, only_shadows: bool) -> None:
    tensors = {renamed(n): entry.load() for n, entry in seeded_entries(recorded("nasnet_cifar"), training=True).items()}
    if only_shadows:
        tensors = {name: value for name, value in tensors.items() if name.endswith(SHADOW_SUFFIX)}
    checkpoint = save(tensors)
    assert port("nasnet_cifar", checkpoint=checkpoint).translation.left_out == {"aux": 12}
    entries = port("nasnet_cifar", checkpoint=checkpoint, aux=True).translation.entries
    want = np.float32(1.01) * seeded(f"{CLASSIFIER}/weights", (768, 10), 0, 0.7)
    assert np.array_equal(entries["aux.last_linear.weight"].load(), want.T)


def test_a_checkpoint_of_another_input_size_keeps_its_kernel() -> None:
    tensors = {n: entry.load() for n, entry in seeded_entries(recorded("nasnet_cifar"), training=True).items()}
    for name in ("aux_11/aux_logits/Conv/weights", "aux_11/aux_logits/Conv/weights" + SHADOW_SUFFIX):
        tensors[name] = np.ones((5, 5, 128, 768), np.float32)
    options = Options(parts=("aux",))
    entries = translate(checkpoint_of(tensors), find_arch("nasnet_cifar"), "tf", "torch", options).entries
    assert entries["aux.conv.weight"].shape == (768, 128, 5, 5)


def test_an_average_of_another_shape_than_its_variable_is_refused() -> None:
    tensors = {n: entry.load() for n, entry in seeded_entries(recorded("nasnet_cifar"), training=True).items()}
    tensors["final_layer/FC/weights"] = np.ones((768, 3), np.float32)
    with pytest.raises(
        PorterError, match=r"final_layer/FC/weights has shape \(768, 3\), but its moving average has \(768, 10\)"
    ):
        translate(checkpoint_of(tensors), find_arch("nasnet_cifar"), "tf", "torch")


def test_what_lacks_it_is_told_apart(tmp_path: Path) -> None:
    inference = seed("nasnet_cifar", tmp_path / "inference.ckpt").out
    with pytest.raises(PorterError, match=r"(?s)lacks 12 of the 1436 tensors.*leave `aux` out"):
        port("nasnet_cifar", checkpoint=inference, aux=True)
    small = seed("mobilenet_v1_0.25_128", tmp_path / "small.ckpt").out
    with pytest.raises(PorterError, match="has no part 'aux': leave `aux` out"):
        port("mobilenet_v1_0.25_128", checkpoint=small, aux=True)


def test_the_auxiliary_head_takes_maps_of_its_own_size_alone() -> None:
    table = Table.load("nasnet_large")
    assert table.parts == {"aux": "auxiliary head"}
    head = AuxiliaryHead(8, 2, 21, torch.nn.BatchNorm2d).eval()
    assert head(torch.zeros(1, 8, 21, 21)).shape == (1, 2)
    with pytest.raises(RuntimeError):
        head(torch.zeros(1, 8, 32, 32))
