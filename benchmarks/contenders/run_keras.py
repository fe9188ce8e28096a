"""Runs a Keras network on CPU: porter's, or that of keras.applications.

python run_keras.py LIBRARY MODEL SIDE BATCH THREADS
"""

import os
import sys

import timed

library, model, side, batch, threads = sys.argv[1:]
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(int(threads))
tf.config.threading.set_inter_op_parallelism_threads(1)
shape = (int(side), int(side), 3)
if library == "porter":
    from porter.catalog.models import find_arch
    from porter.nets.build import build

    network = build(find_arch(model), "keras", None, input_size=int(side))
else:
    network = getattr(keras.applications, model)(weights=None, input_shape=shape, classifier_activation=None)
images = tf.random.uniform((int(batch), *shape), -1, 1)
call = tf.function(lambda x: network(x, training=False), jit_compile=False)
timed.serve(lambda: call(images).numpy(), keras=keras.__version__, tensorflow=tf.__version__)
