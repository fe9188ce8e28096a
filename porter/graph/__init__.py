"""TensorFlow graphs as data, through the protos that tensorboard ships."""
