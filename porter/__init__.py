"""porter moves image models between deep-learning frameworks and proves that nothing changed on the way.

``port`` translates a checkpoint, ``verify`` proves a port, ``inspect`` describes a file, ``load`` returns a
network filled with ported weights, and ``endpoints`` its activations by name. No framework is imported
before it is needed.
"""

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
