"""IDIOMS: every idiom with its patterns, the numbers that it yields, and how it joins the layers around it.

porter.graph.analysis.idioms.terms describes the patterns. Sources of idioms are named beside them.
"""

from __future__ import annotations

from typing import NamedTuple

RULES: dict[str, tuple[str, ...]] = {
    # ---- activations of @
    "relu6": ("Relu6(@)", "Minimum(Maximum(@, #0), #6)", "Maximum(Minimum(@, #6), #0)", "Minimum(Relu(@), #6)"),
    "shifted": ("relu6(Add(@, #3))",),
    # MobileNet V3's: relu6(x + 3) / 6. Keras' hard_sigmoid was clip(0.2 x + 0.5, 0, 1) until Keras 3.
    "hard_sigmoid": (
        "Mul(shifted(@), #0.1666667)", "RealDiv(shifted(@), #6)",
        "Minimum(Maximum(Add(Mul(@, #0.2), #0.5), #0), #1)", "ClipByValue(Add(Mul(@, #0.2), #0.5), #0, #1)",
    ),
    "hard_swish": ("Mul(@, hard_sigmoid(@))", "Mul(Mul(@, shifted(@)), #0.1666667)", "RealDiv(Mul(@, shifted(@)), #6)"),
    "swish": ("Mul(@, Sigmoid(@))", "Mul(@, Sigmoid(Mul(@, #1)))"),  # the second is tf.nn.silu
    # ---- statistics of $x over %axes; tf.nn.moments squeezes them, and hand-written code does not
    "statistic": (
        "Mean(@, %axes)", "Squeeze(Mean(@, %axes))", "Reshape(Mean(@, %axes), ?)",
        "Reshape(Squeeze(Mean(@, %axes)), ?)",
    ),
    "mean": ("statistic($x)",),
    "variance": (
        "statistic(SquaredDifference($x, mean))", "statistic(Square(Sub($x, mean)))",
        "statistic(Pow(Sub($x, mean), #2))", "Sub(statistic(Square($x)), Square(mean))",
    ),
    "deviation": (
        "Sqrt(Add(variance, #epsilon))", "Pow(Add(variance, #epsilon), #0.5)", "Add(Sqrt(variance), #epsilon)",
        "Sqrt(variance)",
    ),
    "inverse": (
        "Rsqrt(Add(variance, #epsilon))", "Pow(Add(variance, #epsilon), #-0.5)", "Reciprocal(deviation)",
        "RealDiv(#1, deviation)",
    ),
    "normalized": ("Mul(Sub($x, mean), inverse)", "RealDiv(Sub($x, mean), deviation)"),
    "scale": ("Mul(inverse, %gamma)", "inverse"),
    # ---- squeeze-and-excitation's gate over $x (Hu et al. 2017, arXiv:1709.01507)
    "pooled": (
        "Mean($x, %axes)", "AvgPool($x)", "Reshape(Mean($x, %axes), ?)", "Squeeze(Mean($x, %axes))",
        "Reshape(AvgPool($x), ?)", "Squeeze(AvgPool($x))",
    ),
    "squeeze": ("Conv2D(pooled, %kernel_1)", "MatMul(pooled, %kernel_1)"),
    "squeezed": ("Add(squeeze, %bias_1)", "squeeze"),
    "middle": ("Relu(squeezed)", "relu6(squeezed)", "swish(squeezed)", "hard_swish(squeezed)"),
    "excite": ("Conv2D(middle, %kernel_2)", "MatMul(middle, %kernel_2)"),
    "excited": ("Add(excite, %bias_2)", "excite"),
    "gate": ("Sigmoid(excited)", "hard_sigmoid(excited)"),
    "shaped_gate": ("gate", "Reshape(gate, ?)", "ExpandDims(ExpandDims(gate, ?), ?)"),
    # ---- dropout: a random number for every value of $x
    "random": ("RandomUniform(?)", "Add(Mul(RandomUniform(?), ?), ?)", "Mul(RandomUniform(?), ?)"),
}  # fmt: skip

NORMS = (
    "Add(Mul(normalized, %gamma), %beta)",
    "Add(Mul($x, scale), Sub(%beta, Mul(mean, scale)))",  # tf.nn.batch_normalization
    "Add(Mul($x, scale), Add(%beta, Mul(Neg(mean), scale)))",  # Keras 3
    "Sub(Mul($x, scale), Mul(mean, scale))",
    "Add(Mul($x, scale), Mul(Neg(mean), scale))",
    "Mul(normalized, %gamma)",
    "normalized",
)
"""Norms of $x, under statistics of $x or moving averages, as the rules say."""


class Idiom(NamedTuple):
    """One idiom. ``role`` is what it becomes: an activation, a norm, or a layer of its own.

    The numbers of its patterns are the layer's. ``read`` names a function of ``find`` that derives the layer's kind and
    numbers from them; without one, they are those that the patterns name.
    """

    kind: str
    role: str
    patterns: tuple[str, ...]
    read: str = ""


ACTIVATION, NORM, LAYER = "activation", "norm", "layer"

IDIOMS = (
    Idiom("squeeze-excite", LAYER, ("Mul($x, shaped_gate)",), "squeeze_excite"),
    Idiom("hard swish", ACTIVATION, ("hard_swish($x)",)),
    Idiom("swish", ACTIVATION, ("swish($x)",)),
    Idiom("swish", ACTIVATION, ("Mul($x, Sigmoid(Mul($x, #beta)))",)),
    Idiom("hard sigmoid", ACTIVATION, ("hard_sigmoid($x)",)),
    Idiom(
        "relu6",
        ACTIVATION,
        ("Minimum(Maximum($x, #0), #6)", "Maximum(Minimum($x, #6), #0)", "Minimum(Relu($x), #6)"),
    ),
    Idiom("leaky relu", ACTIVATION, ("Maximum($x, Mul($x, #slope))",), "leaky"),
    # f1 * x + f2 * |x| of early GANs: f1 = (1 + slope) / 2, f2 = (1 - slope) / 2
    Idiom("leaky relu", ACTIVATION, ("Add(Mul($x, #half_sum), Mul(Abs($x), #half_difference))",), "leaky_of_halves"),
    Idiom("leaky relu", ACTIVATION, ("Sub(Relu($x), Mul(Relu(Neg($x)), #slope))",), "leaky"),
    Idiom(
        "prelu",
        ACTIVATION,
        (
            "Add(Relu($x), Mul(Relu(Neg($x)), %slope))",  # Keras, which negates the slope
            "Sub(Relu($x), Mul(Relu(Neg($x)), %slope))",
            "Add(Relu($x), Mul(Mul(Sub($x, Abs($x)), %slope), #0.5))",
            "Add(Relu($x), Mul(Mul(%slope, Sub($x, Abs($x))), #0.5))",
            "Add(Maximum($x, #0), Mul(Minimum($x, #0), %slope))",
        ),
    ),
    # Hendrycks and Gimpel 2016, arXiv:1606.08415: exact, and with tanh
    Idiom(
        "gelu",
        ACTIVATION,
        (
            "Mul(Mul($x, #0.5), Add(Erf(RealDiv($x, #1.414214)), #1))",
            "Mul(Mul($x, #0.5), Add(Erf(Mul($x, #0.707107)), #1))",
            "Mul($x, Mul(Add(Erf(RealDiv($x, #1.414214)), #1), #0.5))",
            "Mul(Mul($x, #0.5), Erfc(Mul(Neg($x), #0.707107)))",  # TensorFlow since 2.16
            "Mul(Mul($x, #0.5), Add(Tanh(Mul(Add(Mul(Pow($x, #3), #0.044715), $x), #0.797885)), #1))",
            "Mul($x, Mul(Add(Tanh(Mul(Add(Mul(Pow($x, #3), #0.044715), $x), #0.797885)), #1), #0.5))",
        ),
    ),
    Idiom(
        "norm",
        NORM,
        NORMS,
        "norm",
    ),
    # Keras' LayerNormalization of rank 2 and 3: a batch norm over a batch of one
    Idiom(
        "layer norm",
        NORM,
        ("Add(Mul(Reshape(FusedBatchNorm(Reshape($x, ?), ?, ?, ?, ?), ?), %gamma), %beta)",),
        "keras_layer_norm",
    ),
    Idiom(
        "dropout",
        LAYER,
        (
            "Mul(RealDiv($x, &keep), Floor(Add(&keep, random)))",  # tf.nn.dropout until TensorFlow 1.12
            "Mul(Mul($x, ?), Greater(random, &rate))",  # since then
            "Mul(RealDiv($x, ?), Greater(random, &rate))",
            "SelectV2(Greater(random, &rate), Mul($x, ?), ?)",  # since TensorFlow 2.11
            "SelectV2(Greater(random, &rate), RealDiv($x, ?), ?)",
        ),
        "dropout",
    ),
)
