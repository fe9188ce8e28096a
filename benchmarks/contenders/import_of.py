"""Imports the modules that it names: what a process pays before it does anything.

python import_of.py MODULE…
"""

import importlib
import sys

for name in sys.argv[1:]:
    importlib.import_module(name)
