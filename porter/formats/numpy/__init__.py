"""Readers of numpy's files."""
