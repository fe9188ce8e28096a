"""Readers of TensorFlow Lite models."""
