"""Readers of TensorFlow.js models."""
