"""The numbers of ResNet V2 (He et al. 2016, arXiv:1603.05027), which every framework's network reads.

The units of ResNet V1 with batch norm and ReLU before each convolution, not after it: Fig. 1(b). One more batch norm
follows the last unit. The convolutions that no batch norm follows have biases: slim/nets/resnet_v2.py.
"""

from __future__ import annotations

from porter.nets.resnet_v1.design import DECAY, EPSILON, STEM, Unit, blocks

__all__ = ["DECAY", "EPSILON", "STEM", "Unit", "blocks"]
