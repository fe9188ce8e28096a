"""PyTorch source for a TensorFlow graph: nodes become steps, steps become classes, classes become text."""
