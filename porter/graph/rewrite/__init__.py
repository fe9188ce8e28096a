"""Rewrites of a graph before TensorFlow runs it: prune, freeze, widen, remove FakeQuant; and a safety check."""
