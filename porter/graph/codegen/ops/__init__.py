"""How each TensorFlow op becomes a step, a file for each kind of op; ``@LOWERINGS.of("Conv2D …")`` registers them."""
