"""The numbers of SSD (Liu et al. 2015, arXiv:1512.02325) as TensorFlow's Object Detection API has it.

Each detector reads two maps of its backbone and makes four more, each half as large as the one before. At every place
of each map it predicts a few boxes: four numbers each, relative to an anchor, and the scores of all classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Channels of the 1x1 and of the 3x3 convolution of each extra layer: feature_map_layout in
object_detection/models/ssd_mobilenet_v1_feature_extractor.py, and layer_depth // 2 in feature_map_generators.py."""

BOXES = (3, 6, 6, 6, 6, 6)
"""Boxes at a place of each map: ssd_anchor_generator in samples/configs/ssd_mobilenet_v1_coco.config has five aspect
ratios and one square between two scales; reduce_boxes_in_lowest_layer leaves three to the first map."""

BOX_VALUES = 4  # box_code_size in that configuration
EPSILON = 1e-3  # epsilon of its batch_norm
DECAY = 0.9997  # decay there

BOX_ENCODINGS = "box_encodings"  # the names of the raw outputs in ssd_meta_arch.py
CLASS_SCORES = "class_predictions_with_background"


class Detector(NamedTuple):
    """One detector: its backbone's model, the endpoints that it reads there, and the kernel of its box predictors.

    ``depthwise`` detectors halve a map by a depthwise convolution and make its channels by a 1x1 one. ``options`` are
    those of the backbone's builder.
    """

    backbone: str
    maps: tuple[str, str]
    kernel: int = 1
    depthwise: bool = False
    options: Mapping[str, Any] = MappingProxyType({})

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all maps that boxes are predicted from, as feature_map_generators.py gives them."""
        extra = (f"{self.maps[-1]}_2_Conv2d_{at}_3x3_s2_{outer}" for at, (_, outer) in enumerate(EXTRAS, start=2))
        return (*self.maps, *extra)


_V2_MAPS = ("layer_15/expansion_output", "layer_19")

DETECTORS = {
    "mobilenet_v1": Detector("mobilenet_v1_1.0_224", ("Conv2d_11_pointwise", "Conv2d_13_pointwise")),
    "mobilenet_v2": Detector("mobilenet_v2_1.0_224", _V2_MAPS, 3, depthwise=True),
    "mobilenet_v2_full": Detector("mobilenet_v2_1.0_224", _V2_MAPS),
    "inception_v2": Detector(
        "inception_v2", ("Mixed_4c", "Mixed_5c"), 3, options=MappingProxyType({"in_detectors": True})
    ),
}
"""The detectors: from_layer in ssd_<backbone>_feature_extractor.py; kernel_size and use_depthwise in ssd_<name>_coco of
samples/configs, and for mobilenet_v2_full in ssd_mobilenet_v2_quantized_300x300_coco."""
