"""Reads a graph with one verb and prints the CPU seconds that it takes, without the import of the verb.

python nodes_cost.py inspect GRAPH.pb
python nodes_cost.py decompile GRAPH.pb      plans and writes the source, and verifies nothing
"""

import importlib
import json
import sys
import time

verb, path = sys.argv[1:]
run = getattr(importlib.import_module(f"porter.verbs.{verb}"), verb)
start = time.process_time()
run(path)
print(json.dumps({"seconds": time.process_time() - start}))
