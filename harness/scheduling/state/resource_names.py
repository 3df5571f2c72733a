"""Which resource names scheduling counts; a request for any other says nothing to it.

Source: kubernetes 1.32 pkg/scheduler/util IsScalarResourceName, pkg/apis/core/v1/helper IsExtendedResourceName.
"""

from __future__ import annotations

from functools import lru_cache

from harness.scheduling.matching.label_rules import qualified

NATIVE = ("cpu", "memory", "ephemeral-storage")

_OWN = "kubernetes.io/"
_QUOTA = "requests."


@lru_cache(maxsize=1024)
def extended(name: str) -> bool:
    """A vendor's resource: example.com/fpga."""
    return "/" in name and _OWN not in name and not name.startswith(_QUOTA) and qualified(_QUOTA + name)


def counted(name: str) -> bool:
    return name in NATIVE or name.startswith(("hugepages-", "attachable-volumes-")) or _OWN in name or extended(name)
