"""The networks in Keras 3: NHWC in, logits out, with keras.applications' layer names, on any backend."""
