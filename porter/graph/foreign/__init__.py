"""Networks of other formats, with their layers written as TensorFlow's ops."""
