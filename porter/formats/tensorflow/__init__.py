"""Readers and writers of TensorFlow's files: checkpoints, graphs and event files."""
