"""Inception V1 to V4 and Inception-ResNet V2."""
