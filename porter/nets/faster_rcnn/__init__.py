"""Faster R-CNN detectors on NASNet and PNASNet, whose cells the two stages share out."""
