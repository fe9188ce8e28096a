"""Mapping tables, and the translation of tensors from one dialect to another."""
