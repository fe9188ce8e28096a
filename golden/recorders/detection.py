"""Detectors of TensorFlow's Object Detection API, which is in the tf-models-research-object-detection package.

A golden has the network alone, from the preprocessed images to the raw outputs: neither the preprocessing nor the
post-processing. Between the stages of Faster R-CNN there are no proposals: the second one reads the whole map of the
first as one crop. Options of a record: ``pipeline`` is one of PIPELINES, ``extractor`` the type of the feature
extractor there, ``backbone`` the function of slim's that it calls, as module.function, ``kernel`` (optional, 1) the
size of the box predictors' kernels, ``flags`` (optional) the fields of the extractor's configuration that are true, and
``hparams`` (optional) what replaces numbers of the backbone's configuration.
"""

from __future__ import annotations

import ast
import functools
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from porter.catalog.seeded_weights import PROBES, probe_indices, seeded
from porter.runners.golden import golden_images
from recorders import Description, Recipe, RecordError
from recorders.slim import nets_factory, unfused_batch_norm

if TYPE_CHECKING:
    import tensorflow as tf

OUTPUT_PROBES = 512
"""Values of each raw output that a golden keeps; of another endpoint as many as in every golden."""

_CONVOLUTIONS = """conv_hyperparams { activation: RELU_6 regularizer { l2_regularizer { weight: 0.00004 } }
    initializer { truncated_normal_initializer { stddev: 0.03 mean: 0.0 } }
    batch_norm { train: true scale: true center: true decay: 0.9997 epsilon: 0.001 } }"""

PIPELINES = {
    # After samples/configs/ssd_mobilenet_v1_coco.config, without what training alone reads.
    "ssd": f"""ssd {{ num_classes: %(classes)d
  image_resizer {{ fixed_shape_resizer {{ height: %(size)d width: %(size)d }} }}
  feature_extractor {{ type: '%(extractor)s' min_depth: 16 depth_multiplier: 1.0 %(flags)s {_CONVOLUTIONS} }}
  box_coder {{ faster_rcnn_box_coder {{ y_scale: 10.0 x_scale: 10.0 height_scale: 5.0 width_scale: 5.0 }} }}
  matcher {{ argmax_matcher {{ matched_threshold: 0.5 unmatched_threshold: 0.5 force_match_for_each_row: true }} }}
  similarity_calculator {{ iou_similarity {{ }} }}
  anchor_generator {{ ssd_anchor_generator {{ num_layers: 6 min_scale: 0.2 max_scale: 0.95
    aspect_ratios: 1.0 aspect_ratios: 2.0 aspect_ratios: 0.5 aspect_ratios: 3.0 aspect_ratios: 0.3333 }} }}
  box_predictor {{ convolutional_box_predictor {{ min_depth: 0 max_depth: 0 num_layers_before_predictor: 0
    use_dropout: false kernel_size: %(kernel)d box_code_size: 4 apply_sigmoid_to_scores: false {_CONVOLUTIONS} }} }}
  loss {{ classification_loss {{ weighted_sigmoid {{ }} }} localization_loss {{ weighted_smooth_l1 {{ }} }}
    classification_weight: 1.0 localization_weight: 1.0 }}
  normalize_loss_by_num_matches: true
  post_processing {{ batch_non_max_suppression {{ score_threshold: 1e-8 iou_threshold: 0.6
    max_detections_per_class: 100 max_total_detections: 100 }} score_converter: SIGMOID }} }}""",
    # After samples/configs/faster_rcnn_nas_coco.config, in the same way.
    "faster_rcnn": """faster_rcnn { num_classes: %(classes)d
  image_resizer { fixed_shape_resizer { height: %(size)d width: %(size)d } }
  feature_extractor { type: '%(extractor)s' }
  first_stage_anchor_generator { grid_anchor_generator { scales: [0.25, 0.5, 1.0, 2.0] aspect_ratios: [0.5, 1.0, 2.0]
    height_stride: 16 width_stride: 16 } }
  first_stage_box_predictor_conv_hyperparams { op: CONV regularizer { l2_regularizer { weight: 0.0 } }
    initializer { truncated_normal_initializer { stddev: 0.01 } } }
  first_stage_nms_score_threshold: 0.0 first_stage_nms_iou_threshold: 0.7 first_stage_max_proposals: 100
  first_stage_localization_loss_weight: 2.0 first_stage_objectness_loss_weight: 1.0
  initial_crop_size: 17 maxpool_kernel_size: 1 maxpool_stride: 1
  second_stage_box_predictor { mask_rcnn_box_predictor { use_dropout: false dropout_keep_probability: 1.0
    fc_hyperparams { op: FC regularizer { l2_regularizer { weight: 0.0 } }
      initializer { variance_scaling_initializer { factor: 1.0 uniform: true mode: FAN_AVG } } } } }
  second_stage_post_processing { batch_non_max_suppression { score_threshold: 0.0 iou_threshold: 0.6
    max_detections_per_class: 100 max_total_detections: 100 } score_converter: SOFTMAX }
  second_stage_localization_loss_weight: 2.0 second_stage_classification_loss_weight: 1.0 }""",
}

OUTPUTS = (
    "box_encodings",
    "rpn_box_encodings",
    "rpn_objectness_predictions_with_background",
    "refined_box_encodings",
    "class_predictions_with_background",
)
"""The raw outputs of a prediction that a golden keeps, those of them that the detector has."""
MAPS = ("rpn_features_to_crop", "rpn_box_predictor_features", "box_classifier_features")
"""The maps of a prediction that a golden keeps too, those of them that the detector has."""


@dataclass(frozen=True)
class Network:
    """A detector's network, alone in its graph. ``endpoints`` are in graph order, ``outputs`` are some of them."""

    graph: tf.Graph
    images: tf.Tensor
    endpoints: dict[str, tf.Tensor]
    outputs: dict[str, tf.Tensor]
    variables: list[tf.Variable]


@functools.cache
def model_builder() -> ModuleType:
    """Import object_detection's model_builder, with stand-ins for what TensorFlow 1 and protobuf 3 had.

    Call this before anything else imports TensorFlow, which reads these settings only once.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    nets_factory()
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()  # model_builder then has the extractors of slim's networks
    tf.enable_resource_variables()
    unused = ("scipy", "scipy.io", "scipy.optimize")
    image = [f"tensorflow.contrib.image{tail}" for tail in ("", ".python", ".python.ops")]
    sys.modules |= {name: mock.MagicMock(name=name) for name in (*unused, *image)}
    vars(sys.modules["tensorflow.contrib"])["image"] = sys.modules["tensorflow.contrib.image"]
    for leaf in ("", ".convolutional", ".core", ".pooling", ".base"):
        module = importlib.import_module(f"tf_keras.src.legacy_tf_layers{leaf}")
        sys.modules[f"tf_keras.legacy_tf_layers{leaf}"] = module
    _load_protos(importlib.import_module("object_detection.protos"))
    return importlib.import_module("object_detection.builders.model_builder")


def _load_protos(package: ModuleType) -> None:
    """Build the package's message classes from their serialized descriptors: protobuf 7 refuses the generated code."""
    from google.protobuf import descriptor_pool
    from google.protobuf.internal import builder

    assert package.__file__ is not None
    files = {path.stem: ast.parse(path.read_text()) for path in Path(package.__file__).parent.glob("*_pb2.py")}

    def load(stem: str) -> None:
        name = f"{package.__name__}.{stem}"
        if name in sys.modules:
            return
        nodes = list(ast.walk(files[stem]))
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module == package.__name__:
                load(node.names[0].name)
        serialized = next(n.value for n in nodes if isinstance(n, ast.keyword) and n.arg == "serialized_pb")
        descriptor = descriptor_pool.Default().AddSerializedFile(ast.literal_eval(serialized))
        module = sys.modules[name] = ModuleType(name)
        builder.BuildMessageAndEnumDescriptors(descriptor, vars(module))
        builder.BuildTopDescriptorsAndMessages(descriptor, name, vars(module))
        setattr(package, stem, module)

    for stem in files:
        load(stem)


def build(recipe: Recipe, dtype: str = "float32", training: bool = False) -> Network:
    """Build the recipe's network with object_detection's own code, in a new graph."""
    builder, (text, backbone, hparams) = model_builder(), _options(recipe)
    import tensorflow.compat.v1 as tf
    from google.protobuf import text_format

    config = text_format.Parse(text, sys.modules["object_detection.protos.model_pb2"].DetectionModel())
    shape = (None, recipe.input_size, recipe.input_size, 3)
    exactly = ExitStack()
    if dtype == "float64":
        exactly.enter_context(unfused_batch_norm())
        exactly.enter_context(_decimal_batch_norm())
    with tf.Graph().as_default() as graph, exactly:
        if training:
            tf.train.get_or_create_global_step()
        model = builder.build(config, is_training=training, add_summaries=False)
        images = tf.placeholder(dtype, shape, name="input")
        sizes = tf.tile([list(shape[1:])], [tf.shape(images)[0], 1])
        slims, function = backbone.split(".")
        module = getattr(sys.modules[type(model._feature_extractor).__module__], slims)
        with (
            _seen(module, function) as inner,
            _seen(importlib.import_module(_MAPS), "multi_resolution_feature_maps") as maps,
            _other_numbers(module, hparams),
            _whole_map_cropped(model),
        ):
            raw = model.predict(images, sizes)
        outputs = {name: _uncast(raw[name]) for name in OUTPUTS if name in raw}
        found = {name: tensor for each in (*inner, *maps) for name, tensor in each.items()} | outputs
        found |= {name: _only(raw[name]) for name in MAPS if name in raw} | _second_stage_cells(graph)
        place = {op: at for at, op in enumerate(graph.get_operations())}
        endpoints = dict(sorted(found.items(), key=lambda endpoint: place[endpoint[1].op]))
        return Network(graph, images, endpoints, outputs, tf.global_variables())


def _decimal_batch_norm() -> AbstractContextManager[object]:
    """Give batch norm the decimals that the configuration states: its messages hold floats of 32 bits.

    The float32 run has the same ones either way; in float64 an epsilon of 0.0010000000474974513 shows as 7e-10.
    """
    hyperparams = importlib.import_module("object_detection.builders.hyperparams_builder")
    rounded = hyperparams._build_batch_norm_params

    def decimal(*arguments: Any) -> dict[str, Any]:
        found = rounded(*arguments)
        return {key: float(str(np.float32(v))) if isinstance(v, float) else v for key, v in found.items()}

    return mock.patch.object(hyperparams, "_build_batch_norm_params", decimal)


_MAPS = "object_detection.models.feature_map_generators"


def _uncast(tensor: tf.Tensor) -> tf.Tensor:
    """Return the tensor before Faster R-CNN casts its raw outputs to float32."""
    return tensor.op.inputs[0] if tensor.op.type == "Cast" else tensor


def _only(found: Any) -> tf.Tensor:
    """Return the one map of a list, or the map."""
    (tensor,) = found if isinstance(found, list) else (found,)
    return tensor


def _second_stage_cells(graph: tf.Graph) -> dict[str, tf.Tensor]:
    """Return the outputs of the second stage's cells, which it names nowhere, as slim names those of the first."""
    cells = (re.fullmatch(_CELL_OUTPUT, op.name) for op in graph.get_operations())
    return {cell[1].title(): graph.get_tensor_by_name(f"{cell[0]}:0") for cell in cells if cell}


_CELL_OUTPUT = r"SecondStageFeatureExtractor/((?:reduction_)?cell_\d+)/cell_output/concat"


@contextmanager
def _other_numbers(module: ModuleType, hparams: Mapping[str, Any]) -> Iterator[None]:
    """Replace numbers of a NASNet's configuration, which its detector takes from slim as they are."""
    if not hparams:
        yield
        return
    released = module.large_imagenet_config

    def replaced() -> Any:
        found = released()
        for name, value in hparams.items():
            found.set_hparam(name, value)
        return found

    with mock.patch.object(module, "large_imagenet_config", replaced):
        yield


@contextmanager
def _whole_map_cropped(model: Any) -> Iterator[None]:
    """Give Faster R-CNN's second stage the whole map of the first: the crop of one box, which is the whole image."""
    if not hasattr(model, "_proposal_postprocess"):
        yield
        return
    import tensorflow.compat.v1 as tf

    def proposals(boxes: tf.Tensor, *_others: Any) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(boxes)[0]
        return tf.tile([[[0.0, 0.0, 1.0, 1.0]]], [count, 1, 1]), tf.ones([count], tf.int32)

    with (
        mock.patch.object(model, "_proposal_postprocess", proposals),
        mock.patch.object(model, "_compute_second_stage_input_feature_maps", lambda maps, *_others: _only(maps)),
    ):
        yield


def _options(recipe: Recipe) -> tuple[str, str, dict[str, Any]]:
    """Return the text of the detector's configuration, the function of its backbone, and other numbers for that."""
    options = {"kernel": 1, **recipe.options}
    hparams = options.pop("hparams", {})
    pipeline, backbone = options.pop("pipeline", None), options.pop("backbone", None)
    if pipeline not in PIPELINES or backbone is None:
        raise RecordError(f"a detector takes backbone and a pipeline of {', '.join(PIPELINES)}, got {pipeline}")
    # The network counts the background too, the configuration does not.
    numbers = {"classes": recipe.num_classes - 1, "size": recipe.input_size}
    options["flags"] = " ".join(f"{field}: true" for field in options.get("flags", ()))
    return PIPELINES[pipeline] % (numbers | options), backbone, hparams


@contextmanager
def _seen(owner: ModuleType, function: str) -> Iterator[list[dict[str, tf.Tensor]]]:
    """Collect the named activations that a function of the authors' returns: the last value, or the only one."""
    seen: list[dict[str, Any]] = []
    original = getattr(owner, function)

    def watched(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        seen.append(dict(found[-1] if isinstance(found, tuple) else found))
        return found

    with mock.patch.object(owner, function, watched):
        yield seen


def run(recipe: Recipe, network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the endpoints (NHWC) of the network with name-seeded weights."""
    import tensorflow.compat.v1 as tf

    with tf.Session(graph=network.graph) as session:
        weights = {
            variable.initial_value: seeded(variable.op.name, variable.shape.as_list(), recipe.salt, recipe.gain)
            for variable in network.variables
        }
        session.run([variable.initializer for variable in network.variables], weights)
        found: dict[str, np.ndarray] = session.run(network.endpoints, {network.images: images})
        return found


def measure(recipe: Recipe) -> dict[str, np.ndarray]:
    """Return golden.npz's arrays: the probes of each endpoint, more of them where it is an output."""
    images, arrays = golden_images(recipe.input_size), {}
    for dtype, prefix in (("float32", "endpoint_float32:"), ("float64", "endpoint:")):
        network = build(recipe, dtype)
        for endpoint, values in run(recipe, network, images).items():
            flat = values.reshape(len(values), -1)
            if not np.isfinite(flat).all():
                raise RecordError(f"{endpoint} overflows in {dtype}: lower the recipe's gain")
            probes = OUTPUT_PROBES if endpoint in network.outputs else PROBES
            arrays[prefix + endpoint] = flat[:, probe_indices(endpoint, flat.shape[1], probes)]
    return arrays


def describe(recipe: Recipe) -> Description:
    """Describe the recipe's network; ``trainable`` and global_step come from the training graph.

    The shapes of the endpoints are those of a run: the graph computes the number of boxes.
    """
    network, training = build(recipe), build(recipe, training=True)
    shapes = {name: list(values.shape[1:]) for name, values in run(recipe, network, _one_image(recipe)).items()}
    from tensorflow.compat.v1 import graph_util

    variables = {variable.op.name: variable.shape.as_list() for variable in network.variables}
    outputs = [tensor.op.name for tensor in network.outputs.values()]
    kept = [tensor.op.name for tensor in network.endpoints.values()]
    return Description(
        f"{recipe.options['extractor']} of TensorFlow's Object Detection API",
        outputs[-1],
        shapes,
        variables,
        {v.op.name: v.shape.as_list() for v in training.variables if v.op.name not in variables},
        [variable.op.name for variable in training.variables if variable.trainable],
        graph_util.extract_sub_graph(network.graph.as_graph_def(), kept),
        tuple(outputs),
    )


def _one_image(recipe: Recipe) -> np.ndarray:
    return golden_images(recipe.input_size)[:1]
