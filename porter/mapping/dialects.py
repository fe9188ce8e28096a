"""Dialects: what a library calls its tensors."""

from __future__ import annotations

SEPARATORS = {"tf": "/", "torch": ".", "keras": "/"}
"""Every dialect, and what stands between a layer's name and its tensor's."""

NAMES = {"torch": "PyTorch", "keras": "Keras", "tf": "TensorFlow"}
"""What a reader knows the frameworks as."""
