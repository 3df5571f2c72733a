"""Why a NodePool can make no node for a pod, in Karpenter's words.

Source: kubernetes-sigs/karpenter (2266468, 1.14) pkg/controllers/provisioning/scheduling/{scheduler,nodeclaim}.go,
pkg/scheduling/{requirement,requirements,taints}.go, pkg/utils/pretty/pretty.go. Of DaemonSets' requests it gives the
least and the most over the instance types; here a pod's own are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np

from harness.autoscaling.provisioning.offers import Offers
from harness.autoscaling.provisioning.requirements import Requirement, Requirements
from harness.model.core import Pod, Taint
from harness.model.karpenter import CAPACITY_TYPE, HOSTNAME, WELL_KNOWN, ZONE
from harness.model.quantity import Quantity, bytes_quantity, count_quantity, milli_quantity
from harness.scheduling.strategy import Bool

MOST_VALUES = 5
"""Of a requirement, so many are shown. Source: requirement.go String."""
NODES_EXHAUSTED = "node limits have been exhausted for nodepool"
LIMITS_EXCEEDED = "all available instance types exceed limits for nodepool"


def quantity_of(name: str, amount: int) -> Quantity:
    """Of a resource in its integers."""
    match name:
        case "cpu":
            return milli_quantity(amount)
        case "memory" | "ephemeral-storage":
            return bytes_quantity(amount)
        case _:
            return count_quantity(amount)


def with_pool(text: str, pool: str) -> str:
    return f"{text} (NodePool={pool})"


def of_taints(pod: Pod, taints: Iterable[Taint]) -> str:
    """'' where all are tolerated."""
    bad = [taint for taint in taints if not any(item.tolerates(taint) for item in pod.spec.tolerations)]
    shown = (f"{t.key}={t.value}:{t.effect}" if t.value else f"{t.key}:{t.effect}" for t in bad)
    return "; ".join(f"did not tolerate taint (taint={item})" for item in shown)


def of_requirements(own: Requirements, asked: Requirements, label: str) -> str:
    """`label`: the one in which the pool's and the pod's requirements conflict."""
    if label not in own:
        return f'incompatible requirements, label "{label}" does not have known values{_hint(own, label)}'
    shown = f"{written(asked.get(label))} not in {written(own.get(label))}"
    return f"incompatible requirements, key {label}, {shown}"


def written(item: Requirement) -> str:
    """Source: Requirement.String."""
    values = sorted(item.values)
    some, none = ("NotIn", "Exists") if item.complement else ("In", "DoesNotExist")
    operator = some if values else none
    if len(values) > MOST_VALUES:
        values = [*values[:MOST_VALUES], f"and {len(values) - MOST_VALUES} others"]
    text = f"{item.key} {operator} [{' '.join(values)}]" if values else f"{item.key} {operator}"
    text += "" if item.least is None else f" >={item.least}"
    text += "" if item.most is None else f" <={item.most}"
    return text + ("" if item.min_values is None else f" minValues {item.min_values}")


def of_types(offers: Offers, open_: Bool, requirements: Requirements, fits: Bool, amounts: Mapping[str, str]) -> str:
    """`open_`: offerings of the pool; `requirements`: the pool's with the pod's; `fits`: bool [types, 1]; `amounts`:
    what the pod asks for. Source: InstanceTypeFilterError.Error."""
    there: Bool = np.any(open_, axis=1)[:, None]
    fits = fits & there
    compatible = there & offers.types_meeting(item for item in requirements if item.key not in (ZONE, CAPACITY_TYPE))
    of_offerings = [item for item in requirements if item.key in (ZONE, CAPACITY_TYPE)]
    offered = there & np.any(offers.meeting(of_offerings), axis=1)[:, None]
    about = f"requirements={_shown(requirements)}, resources={json.dumps(dict(amounts), separators=(',', ':'))}"
    if (compatible & fits & offered).any():
        return f"minValues requirement is not met, {about}"
    missing = [
        words
        for met, words in (
            (compatible, "met the scheduling requirements"),
            (fits, "had enough resources"),
            (offered, "had a required offering"),
        )
        if not met.any()
    ]
    if len(missing) > 1:
        return f"no instance type {' or '.join(missing)}, {about}"
    if not compatible.any():
        return f"no instance type met all requirements, {about}"
    if not fits.any():
        return f"no instance type has enough resources, {about}"
    if not offered.any():
        return f"no instance type has the required offering, {about}"
    if (compatible & fits).any():
        text = "which met the scheduling requirements and had enough resources, had a required offering"
    elif (fits & offered).any():
        text = "which had enough resources and the required offering met the scheduling requirements"
    elif (compatible & offered).any():
        text = "which met the scheduling requirements and the required offering had the required resources"
    else:
        text = "met the requirements/resources/offering tuple"
    return f"no instance type {text}, {about}"


def _shown(requirements: Requirements) -> str:
    return ", ".join(sorted(written(item) for item in requirements if item.key != HOSTNAME))


def _hint(own: Requirements, label: str) -> str:
    """Source: labelHint."""
    suffix = label.rpartition("/")[2]
    for known in (*sorted(WELL_KNOWN), *sorted(item.key for item in own)):
        if label in known or known.endswith(suffix):
            return f' (typo of "{known}"?)'
    return ""
