"""Keras' files."""
