"""Comparison of two runs, and its verdict."""
