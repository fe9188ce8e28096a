"""TensorFlow's files, graphs included."""
