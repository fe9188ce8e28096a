"""Runners: everything that computes a network's endpoints."""
