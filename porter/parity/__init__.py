"""Compares the endpoints of two runs, and judges them."""
