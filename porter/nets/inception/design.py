"""The wiring of the Inception networks, which every framework's network reads.

V1: Szegedy et al. 2014, arXiv:1409.4842. V2: Ioffe and Szegedy 2015, arXiv:1502.03167. V3: Szegedy et al. 2015,
arXiv:1512.00567. V4 and Inception-ResNet V2: Szegedy et al. 2016, arXiv:1602.07261. Numbers, paddings and scopes are
those of slim/nets/inception_v1.py to inception_v4.py and inception_resnet_v2.py, where they differ from the papers'.

A network is a sequence of steps: convolutions, pools, and blocks of branches whose outputs are concatenated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from porter.nets.inception.blocks import VALID, Branch, Conv, Fork, Mixed, Pool, Residual, Separable, Step, out_side

EPSILON = 1e-3  # batch_norm_epsilon in inception_arg_scope
DECAY = 0.9997  # batch_norm_decay there
DROPOUT = 1 - 0.8  # dropout_keep_prob of each network

AUX_POOL, AUX_STRIDE, AUX_CHANNELS = 5, 3, (128, 768)
"""The auxiliary head: its average pool, and the channels of its two convolutions; the second covers the whole map."""


class Network(NamedTuple):
    """The ``steps`` by slim's scopes, in order. ``aux`` is the step whose output the auxiliary head reads, if any.

    ``highest`` is the largest value that an activation passes.
    """

    steps: Mapping[str, Step]
    aux: str | None = None
    highest: float = math.inf


def aux_side(network: Network, size: int) -> int:
    """Return the side of the auxiliary head's last map before its whole-map convolution, for images of ``size``."""
    for scope, step in network.steps.items():
        size = out_side(step, size)
        if scope == network.aux:
            return (size - AUX_POOL) // AUX_STRIDE + 1
    raise ValueError("the network has no auxiliary head")


# ---- V1 and V2


def _pooled(pool: str, channels: int) -> Branch:
    return Pool(pool), Conv(channels)


def _v1(first: int, second: tuple[int, int], third: tuple[int, int], fourth: int) -> Mixed:
    """Return a block of V1: the channels of a 1x1, of two branches of a 1x1 and a 3x3, and of a 1x1 behind a pool."""
    branches = ((Conv(inner), Conv(channels, (3, 3))) for inner, channels in (second, third))
    return Mixed(((Conv(first),), *branches, _pooled("max", fourth)))


V1 = Network(
    {
        "Conv2d_1a_7x7": Conv(64, (7, 7), 2),
        "MaxPool_2a_3x3": Pool("max", 3, 2),
        "Conv2d_2b_1x1": Conv(64),
        "Conv2d_2c_3x3": Conv(192, (3, 3)),
        "MaxPool_3a_3x3": Pool("max", 3, 2),
        "Mixed_3b": _v1(64, (96, 128), (16, 32), 32),
        "Mixed_3c": _v1(128, (128, 192), (32, 96), 64),
        "MaxPool_4a_3x3": Pool("max", 3, 2),
        "Mixed_4b": _v1(192, (96, 208), (16, 48), 64),
        "Mixed_4c": _v1(160, (112, 224), (24, 64), 64),
        "Mixed_4d": _v1(128, (128, 256), (24, 64), 64),
        "Mixed_4e": _v1(112, (144, 288), (32, 64), 64),
        "Mixed_4f": _v1(256, (160, 320), (32, 128), 128),
        "MaxPool_5a_2x2": Pool("max", 2, 2),
        "Mixed_5b": _v1(256, (160, 320), (32, 128), 128),
        "Mixed_5c": _v1(384, (192, 384), (48, 128), 128),
    }
)
"""inception_v1_base. The paper's 5x5 convolutions are 3x3 ones there."""


def _double(inner: int, channels: int, stride: int = 1) -> Branch:
    """Return a 1x1 and two 3x3; the second 3x3 has the stride."""
    return Conv(inner), Conv(channels, (3, 3)), Conv(channels, (3, 3), stride)


def _v2(first: int, second: tuple[int, int], third: tuple[int, int], fourth: int, pool: str = "average") -> Mixed:
    """Return a block of V2: as V1's, with two 3x3 in the third branch."""
    inner, channels = second
    return Mixed(((Conv(first),), (Conv(inner), Conv(channels, (3, 3))), _double(*third), _pooled(pool, fourth)))


def _v2_reduction(first: tuple[int, int], second: tuple[int, int]) -> Mixed:
    """Return a block of V2 that halves its input."""
    inner, channels = first
    return Mixed(((Conv(inner), Conv(channels, (3, 3), 2)), _double(*second, stride=2), (Pool("max", 3, 2),)))


V2 = Network(
    {
        "Conv2d_1a_7x7": Separable(64, (7, 7), 8, 2),
        "MaxPool_2a_3x3": Pool("max", 3, 2),
        "Conv2d_2b_1x1": Conv(64),
        "Conv2d_2c_3x3": Conv(192, (3, 3)),
        "MaxPool_3a_3x3": Pool("max", 3, 2),
        "Mixed_3b": _v2(64, (64, 64), (64, 96), 32),
        "Mixed_3c": _v2(64, (64, 96), (64, 96), 64),
        "Mixed_4a": _v2_reduction((128, 160), (64, 96)),
        "Mixed_4b": _v2(224, (64, 96), (96, 128), 128),
        "Mixed_4c": _v2(192, (96, 128), (96, 128), 128),
        "Mixed_4d": _v2(160, (128, 160), (128, 160), 96),
        "Mixed_4e": _v2(96, (128, 192), (160, 192), 96),
        "Mixed_5a": _v2_reduction((128, 192), (192, 256)),
        "Mixed_5b": _v2(352, (192, 320), (160, 224), 128),
        "Mixed_5c": _v2(352, (192, 320), (192, 224), 128, "max"),
    }
)
"""inception_v2_base."""

V2_IN_DETECTORS = Network({**V2.steps, "Conv2d_1a_7x7": Separable(64, (7, 7), 8, 2, norm=True)}, highest=6)
"""The same in the scope of object_detection/models/ssd_inception_v2_feature_extractor.py: RELU_6, batch norm always."""


# ---- V3

ROW, COLUMN = (1, 7), (7, 1)


def _chain(*convs: tuple[int, tuple[int, int]]) -> Branch:
    return tuple(Conv(channels, kernel) for channels, kernel in convs)


def _reduced(conv: Conv) -> Conv:
    return conv._replace(stride=2, padding=VALID)


def _v3_a(pooled: int) -> Mixed:
    branches = ((Conv(64),), (Conv(48), Conv(64, (5, 5))), _double(64, 96), _pooled("average", pooled))
    return Mixed(branches, ("branch1x1", "branch5x5", "branch3x3dbl", "branch_pool"))


def _v3_c(inner: int) -> Mixed:
    single = _chain((inner, (1, 1)), (inner, ROW), (192, COLUMN))
    double = _chain((inner, (1, 1)), (inner, COLUMN), (inner, ROW), (inner, COLUMN), (192, ROW))
    return Mixed(
        ((Conv(192),), single, double, _pooled("average", 192)),
        ("branch1x1", "branch7x7", "branch7x7dbl", "branch_pool"),
    )


_SHRINK = Pool("max", 3, 2, VALID)
_V3_B = Mixed(
    ((_reduced(Conv(384, (3, 3))),), (*_double(64, 96)[:2], _reduced(Conv(96, (3, 3)))), (_SHRINK,)),
    ("branch3x3", "branch3x3dbl", "branch_pool"),
)
_V3_D = Mixed(
    (
        (Conv(192), _reduced(Conv(320, (3, 3)))),
        (*_chain((192, (1, 1)), (192, ROW), (192, COLUMN)), _reduced(Conv(192, (3, 3)))),
        (_SHRINK,),
    ),
    ("branch3x3", "branch7x7x3", "branch_pool"),
)


def _fork(channels: int) -> Fork:
    return Fork((Conv(channels, (1, 3)), Conv(channels, (3, 1))))


_V3_E = Mixed(
    (
        (Conv(320),),
        (Conv(384), _fork(384)),
        (Conv(448), Conv(384, (3, 3)), _fork(384)),
        _pooled("average", 192),
    ),
    ("branch1x1", "branch3x3", "branch3x3dbl", "branch_pool"),
)

_STEM: dict[str, Step] = {
    "Conv2d_1a_3x3": Conv(32, (3, 3), 2, VALID),
    "Conv2d_2a_3x3": Conv(32, (3, 3), 1, VALID),
    "Conv2d_2b_3x3": Conv(64, (3, 3)),
}
_STEM_OF_V3: dict[str, Step] = _STEM | {
    "MaxPool_3a_3x3": _SHRINK,
    "Conv2d_3b_1x1": Conv(80),
    "Conv2d_4a_3x3": Conv(192, (3, 3), 1, VALID),
    "MaxPool_5a_3x3": _SHRINK,
}

V3 = Network(
    _STEM_OF_V3
    | {
        "Mixed_5b": _v3_a(32),
        "Mixed_5c": _v3_a(64),
        "Mixed_5d": _v3_a(64),
        "Mixed_6a": _V3_B,
        "Mixed_6b": _v3_c(128),
        "Mixed_6c": _v3_c(160),
        "Mixed_6d": _v3_c(160),
        "Mixed_6e": _v3_c(192),
        "Mixed_7a": _V3_D,
        "Mixed_7b": _V3_E,
        "Mixed_7c": _V3_E,
    },
    aux="Mixed_6e",
)
"""inception_v3_base."""


# ---- V4

_V4_A = Mixed(((Conv(96),), (Conv(64), Conv(96, (3, 3))), _double(64, 96), _pooled("average", 96)))
_V4_B = Mixed(
    (
        (Conv(384),),
        _chain((192, (1, 1)), (224, ROW), (256, COLUMN)),
        _chain((192, (1, 1)), (192, COLUMN), (224, ROW), (224, COLUMN), (256, ROW)),
        _pooled("average", 128),
    )
)
_V4_C = Mixed(
    (
        (Conv(256),),
        (Conv(384), _fork(256)),
        (*_chain((384, (1, 1)), (448, (3, 1)), (512, (1, 3))), _fork(256)),
        _pooled("average", 256),
    )
)
_V4_STEM: dict[str, Step] = _STEM | {
    "Mixed_3a": Mixed(((_SHRINK,), (_reduced(Conv(96, (3, 3))),)), ("maxpool", "conv")),
    "Mixed_4a": Mixed(
        (
            (Conv(64), Conv(96, (3, 3), 1, VALID)),
            (*_chain((64, (1, 1)), (64, ROW), (64, COLUMN)), Conv(96, (3, 3), 1, VALID)),
        )
    ),
    "Mixed_5a": Mixed(((_reduced(Conv(192, (3, 3))),), (_SHRINK,)), ("conv", "maxpool")),
}
_V4_REDUCTION_A = Mixed(
    (
        (_reduced(Conv(384, (3, 3))),),
        (Conv(192), Conv(224, (3, 3)), _reduced(Conv(256, (3, 3)))),
        (_SHRINK,),
    )
)
_V4_REDUCTION_B = Mixed(
    (
        (Conv(192), _reduced(Conv(192, (3, 3)))),
        (*_chain((256, (1, 1)), (256, ROW), (320, COLUMN)), _reduced(Conv(320, (3, 3)))),
        (_SHRINK,),
    )
)

V4 = Network(
    _V4_STEM
    | {f"Mixed_5{letter}": _V4_A for letter in "bcde"}
    | {"Mixed_6a": _V4_REDUCTION_A}
    | {f"Mixed_6{letter}": _V4_B for letter in "bcdefgh"}
    | {"Mixed_7a": _V4_REDUCTION_B}
    | {f"Mixed_7{letter}": _V4_C for letter in "bcd"},
    aux="Mixed_6h",
)
"""inception_v4_base."""


# ---- Inception-ResNet V2

_BLOCK35 = Residual(((Conv(32),), (Conv(32), Conv(32, (3, 3))), (Conv(32), Conv(48, (3, 3)), Conv(64, (3, 3)))), 0.17)
_BLOCK17 = Residual(((Conv(192),), _chain((128, (1, 1)), (160, ROW), (192, COLUMN))), 0.10)
_BLOCK8 = Residual(((Conv(192),), _chain((192, (1, 1)), (224, (1, 3)), (256, (3, 1)))), 0.20)
_RESNET_5B = Mixed(((Conv(96),), (Conv(48), Conv(64, (5, 5))), _double(64, 96), _pooled("average", 64)))
_RESNET_6A = Mixed(
    (
        (_reduced(Conv(384, (3, 3))),),
        (Conv(256), Conv(256, (3, 3)), _reduced(Conv(384, (3, 3)))),
        (_SHRINK,),
    )
)
_RESNET_7A = Mixed(
    (
        (Conv(256), _reduced(Conv(384, (3, 3)))),
        (Conv(256), _reduced(Conv(288, (3, 3)))),
        (Conv(256), Conv(288, (3, 3)), _reduced(Conv(320, (3, 3)))),
        (_SHRINK,),
    )
)

RESNET_V2 = Network(
    _STEM_OF_V3
    | {"Mixed_5b": _RESNET_5B}
    | {f"Repeat/block35_{number}": _BLOCK35 for number in range(1, 11)}
    | {"Mixed_6a": _RESNET_6A}
    | {f"Repeat_1/block17_{number}": _BLOCK17 for number in range(1, 21)}
    | {"Mixed_7a": _RESNET_7A}
    | {f"Repeat_2/block8_{number}": _BLOCK8 for number in range(1, 10)}
    | {"Block8": _BLOCK8._replace(scale=1.0, relu=False)}
    | {"Conv2d_7b_1x1": Conv(1536)},
    aux="Repeat_1/block17_20",
)
"""inception_resnet_v2_base."""
