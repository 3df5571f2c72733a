"""The process that a stranger's file runs in. It trusts nobody, and nobody trusts it: what it sends is checked.

Started by process.py with two pipes; contains itself first, then imports what strategies may use, then takes the text
of the file over the pipe. The audit hook (attempts.py) names what the file tries; what contains it is containment.py.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Arguments: a JSON map of descriptors, readable paths and limits."""
    order = json.loads(sys.argv[1])
    sys.path[:] = order["path"]
    from harness.evaluation.containment import NotAllowed, close_down, contain

    said: dict[str, Any]
    try:
        kind, statm = contain(order["containment"], order["readable"], order["scratch"])
        host = _import_host()
        close_down(statm, order["cpuSeconds"], order["memoryBytes"], order["outputBytes"])
        said = {"contained": kind}
    except (NotAllowed, OSError) as error:
        said = {"notContained": str(error)}
    if "contained" not in said:
        from harness.evaluation.frames import Channel

        Channel(order["read"], order["write"]).send(said)
        os._exit(0)
    host(order, said)


def _import_host() -> Any:
    from harness.evaluation.strategy_host import serve

    return serve


if __name__ == "__main__":
    main()
