"""Decompiles a graph, and tells the cost of reading, planning and writing from that of the verification.

    python decompile_cost.py GRAPH FOLDER SIZE [CHECKPOINT]

SIZE is 0 where the graph has the size of its images. The costs are those of the process from its start: CPU seconds,
and the largest resident set in MiB.
"""

import json
import resource
import sys
import time

import porter.verbs.verify_written as verb
from porter.verbs.decompile import decompile

graph, out, size, *checkpoint = sys.argv[1:]
verify = verb.verify_written
written: dict[str, float] = {}


def cost() -> dict[str, float]:
    return {"cpu": time.process_time(), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def noted(source, program, network, *others):
    written.update(cost())
    print(json.dumps({"lines": network.lines, "written": written}), flush=True)  # should the verification not end
    return verify(source, program, network, *others)


verb.verify_written = noted
result = decompile(
    graph, out=out, checkpoint=checkpoint[0] if checkpoint else None, size=int(size) or None, anyway=True
)
verified = cost()
found = {"problems": sorted({each.op for each in result.problems}), "verdict": bool(result), "notes": result.notes}
if result.network is not None and result.report is not None:
    rows = result.report.rows
    found |= {
        "lines": result.network.lines,
        "blocks": len(rows),
        "float64": max(row.exact for row in rows if row.exact is not None),
        "rounding": max(row.rounding_rms for row in rows if row.rounding_rms is not None),
        "said": str(result.report),
        "written": written,
        "verification": {"cpu": verified["cpu"] - written["cpu"], "peak": verified["peak"]},
    }
print(json.dumps(found))
