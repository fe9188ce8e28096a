"""Files on a disk: atomic replacement, JSON, digests, progress and package data."""
