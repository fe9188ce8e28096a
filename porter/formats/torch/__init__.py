"""Readers of PyTorch's files."""
