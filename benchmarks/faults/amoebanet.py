"""Faults of AmoebaNet."""

from __future__ import annotations

from typing import Any

from planting import Fault, change, rewire, swap, torch_epsilon, torch_forward, unshifted, without

MODEL = "amoebanet_d_3x64_99"

# cell_0 reads a map of 13x13 and halves its second input. The stem's first cell halves one of 49x49.
FACTORED = "cell_0.comb_iter_1_right"


def _swapped_inputs(wiring: Any) -> Any:
    """Give the last combination's two branches each other's state."""
    *others, (left, right) = wiring.combinations
    last = (left._replace(state=right.state), right._replace(state=left.state))
    return wiring._replace(combinations=(*others, last))


def _transposed(layer: Any, _original: Any, x: Any) -> Any:
    """Run a 1x7 convolution as 7x1."""
    import torch.nn.functional as F

    return F.conv2d(x, layer.weight.transpose(2, 3), padding=(3, 0))


def _at_the_start(layer: Any, _original: Any, x: Any) -> Any:
    """Pad a 2x2 pool of SAME before the map's first row and column."""
    import torch.nn.functional as F

    return F.max_pool2d(F.pad(x, (1, 0, 1, 0), value=float("-inf")), 2, layer.stride)


FAULTS = [
    Fault(
        "the command line's epsilon in one batch norm",
        "torch",
        "cell_output_4",
        "branch",
        network=torch_epsilon(f"{FACTORED}.pre_bn", 1e-5),
    ),
    Fault(
        "a 1x7 convolution that runs as 7x1",
        "torch",
        "cell_output_4",
        "branch",
        network=torch_forward(f"{FACTORED}.conv_1x7", _transposed),
    ),
    Fault(
        "a bottleneck without its inner ReLU", "torch", "cell_output_4", "branch", network=without(f"{FACTORED}.relu_1")
    ),
    Fault(
        "a combination's two inputs swapped",
        "torch",
        "cell_output_4",
        "branch",
        network=rewire("cell_0", _swapped_inputs),
    ),
    Fault(
        "outputs concatenated in another order",
        "torch",
        "cell_output_4",
        "other places",
        network=rewire("cell_0", lambda wiring: wiring._replace(output=(*wiring.output[1:], wiring.output[0]))),
    ),
    Fault(
        "a 2x2 pool padded at its start",
        "torch",
        "cell_output_2",
        "padding",
        network=torch_forward("cell_stem_0.comb_iter_0_left", _at_the_start),
    ),
    Fault(
        "factorized reduction without its shift", "torch", "cell_output_4", "branch", network=unshifted("cell_0.path_2")
    ),
    Fault(
        "two branches' 1x1 convolutions swapped",
        "torch",
        "cell_output_4",
        "branch",
        weights=swap("cell_0.comb_iter_0_left.conv.weight", "cell_0.comb_iter_2_left.conv.weight"),
    ),
    Fault(
        "the classifier's bias left out",
        "torch",
        "logits",
        "bias",
        weights=change("last_linear.bias", lambda value: value * 0),
    ),
]
