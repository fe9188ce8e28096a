"""Gives the variables of a Keras network their first values, so that Keras draws none that would be replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import keras
import numpy as np
from keras.src.backend.common import global_state

UNINITIALIZED = "uninitialized_variables"


@contextmanager
def without_values() -> Iterator[None]:
    """Within it, the variables of a new network get no values and take no memory.

    Keras lists such variables, and gives them values at the end of any other scope. Here it forgets them.
    """
    before = list(global_state.get_global_attribute(UNINITIALIZED, []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(UNINITIALIZED, before)


def give_values(model: keras.Model, values: Mapping[str, Callable[[], np.ndarray]]) -> None:
    """Give each variable of ``model``, built by `without_values`, what ``values`` load for its path, or Keras' own."""
    for variable in model.variables:
        if variable.path in values:
            # An assignment needs a value to replace.
            variable._initialize(keras.ops.convert_to_tensor(values[variable.path](), dtype=variable.dtype))
        else:
            variable._deferred_initialize()
