"""The numbers of Faster R-CNN (Ren et al. 2015, arXiv:1506.01497) as TensorFlow's Object Detection API has it.

The first stage computes a map of the image, and predicts at every place of it which boxes hold an object. The second
stage reads a crop of that map for each box, and predicts its class and, for every class, a better box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from porter.errors import PorterError
from porter.nets.nasnet import design as nasnet
from porter.nets.nasnet.design import Config, Step
from porter.nets.pnasnet import design as pnasnet

ANCHORS = 12
"""Boxes at a place: four scales by three aspect ratios in samples/configs/faster_rcnn_nas_coco.config."""
BOX_VALUES = 4  # code_size of box_coders/faster_rcnn_box_coder.py
OBJECTNESS = 2  # no object, an object
RPN_CHANNELS, RPN_KERNEL = 512, 3
"""first_stage_box_predictor_depth and first_stage_box_predictor_kernel_size: their defaults in faster_rcnn.proto."""

CROPPED = "rpn_features_to_crop"  # the names of the raw outputs in faster_rcnn_meta_arch.py
RPN_FEATURES = "rpn_box_predictor_features"
RPN_BOXES = "rpn_box_encodings"
RPN_SCORES = "rpn_objectness_predictions_with_background"
BOX_FEATURES = "box_classifier_features"
BOXES = "refined_box_encodings"
CLASS_SCORES = "class_predictions_with_background"


class Backbone(NamedTuple):
    """The network that the stages share out: its numbers, its cells in running order, and where it is divided.

    The second stage begins behind ``last`` cells, the stem's included. ``stem`` names the first convolution, and
    ``nested`` says where the layers are that halve a cell's second input.
    """

    config: Config
    plan: Callable[[Config], list[Step]]
    last: int
    stem: str
    nested: bool

    def numbers(self, filters: int) -> Config:
        """Return the network's numbers with other filters. Raises PorterError where some cell could not halve them."""
        if filters < 4 or filters % 4:
            raise PorterError(
                f"the filters of a Faster R-CNN are a multiple of 4, got {filters}: choose another number"
            )
        return replace(self.config, num_conv_filters=filters)


BACKBONES = {
    "nasnet": Backbone(nasnet.LARGE, nasnet.plan, 2 + 12 + 1, "conv0", False),
    "pnasnet": Backbone(pnasnet.LARGE, pnasnet.plan, 2 + 8, "conv_0", True),
}
"""By name: final_endpoint and start_cell_num in faster_rcnn_nas_feature_extractor.py and its twin for PNASNet."""


RECORDED = 20
"""The filters of the goldens: no width of their cells is that of the first convolution."""


def channels(layer: str, axis: str, size: int, backbone: str, filters: int) -> int:
    """Return the size of an axis that has ``size`` in the golden.

    Every width of a cell is a multiple of its filters. Those of the first convolution and of the RPN stay.
    """
    stem = size == BACKBONES[backbone].config.stem_filters
    rpn = layer in ("rpn_boxes", "rpn_objectness") or (layer == "rpn_conv" and axis == "O")
    return size if stem or rpn else size * filters // RECORDED


def wiring(backbone: str, filters: int) -> None:
    """Return what the filters decide besides channels: nothing. Raises PorterError where no network has them."""
    BACKBONES[backbone].numbers(filters)
