"""What every pipeline prints: how many holders there are, the components of the largest ones, and what it cost."""

import hashlib
import json
import resource

ZERO = "0x" + "0" * 40
TOP = 1000


def give(holders, components):
    """`components` are lists of addresses; those of one address are no clusters."""
    lines = sorted(" ".join(sorted(component)) for component in components if len(component) > 1)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    answer = {
        "holders": holders,
        "components": len(lines),
        "digest": hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest(),
        "cpuSeconds": usage.ru_utime + usage.ru_stime,
        "peakBytes": usage.ru_maxrss * 1024,
    }
    print(json.dumps(answer))
