"""Readers of Keras' files."""
