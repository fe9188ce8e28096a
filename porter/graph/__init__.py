"""TensorFlow graphs as data, read through the protobuf classes of the tensorboard package."""
