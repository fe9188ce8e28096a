"""porter ports image models between deep-learning frameworks and verifies every port against the original.

``port`` translates a checkpoint, ``verify`` proves a port, ``inspect`` describes a file, ``load`` returns a
network filled with ported weights, and ``endpoints`` its activations by name. Each is imported when it is first
used, so that ``import porter`` costs nothing; no framework is imported before it is needed.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from porter.errors import FormatError, MappingError, MissingPackageError, PorterError
    from porter.verbs.endpoints import endpoints
    from porter.verbs.inspect import inspect
    from porter.verbs.load import load
    from porter.verbs.port import port
    from porter.verbs.verify import verify

__all__ = [
    "FormatError",
    "MappingError",
    "MissingPackageError",
    "PorterError",
    "endpoints",
    "inspect",
    "load",
    "port",
    "verify",
]


def __getattr__(name: str) -> object:
    """Import one of the public names when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'porter' has no attribute {name!r}")
    home = "porter.errors" if name.endswith("Error") else f"porter.verbs.{name}"
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
