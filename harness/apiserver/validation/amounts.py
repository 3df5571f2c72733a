"""How large an amount of a resource may be: what pods ask for and nodes have is added up in integers of 64 bits."""

from __future__ import annotations

from harness.apiserver.validation.causes import wrong
from harness.model.core import ResourceList
from harness.model.gpu import GPU_COUNT, WHOLE_GPU
from harness.model.pod_amounts import resource_amounts
from harness.model.status import Cause

LARGEST = 1 << 53
"""In milli-CPU, bytes or units. Kubernetes takes any amount up to 2^63-1; here a thousand of the largest still add up
without a carry, and each is exact as a float, too."""

MOST_DEVICES = 4096
"""GPUs of one node: each has a column."""

_DEVICES = (WHOLE_GPU, GPU_COUNT)


def amount_problems(found: list[Cause], amounts: ResourceList, path: str) -> None:
    """Negative amounts, and those that are too large."""
    for resource, amount in resource_amounts(amounts).items():
        at = f"{path}[{resource}]"
        if amount < 0:
            found.append(wrong(at, str(amounts[resource]), "must be greater than or equal to 0"))
        elif amount > LARGEST:
            found.append(wrong(at, str(amounts[resource]), f"must be at most {LARGEST} (milli-CPU, bytes or units)"))


def node_amount_problems(found: list[Cause], amounts: ResourceList, path: str) -> None:
    amount_problems(found, amounts, path)
    for resource in _DEVICES:
        devices = amounts.get(resource)
        if devices is not None and devices.value > MOST_DEVICES:
            found.append(wrong(f"{path}[{resource}]", str(devices), f"must be at most {MOST_DEVICES} devices"))
