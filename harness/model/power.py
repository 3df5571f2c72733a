"""How much power nodes draw: models of CPUs and GPUs by name, idle and fully used, linear in between.

CPUs per vCPU (hardware thread), from SPECpower_ssj2008 results by microarchitecture; GPUs per device, from the vendors'
thermal design power and Teads' measurements of idle and full load. Source of both tables: Cloud Carbon Footprint
(Thoughtworks), coefficients of packages/{aws,gcp}/src/domain, 2023, and its methodology page, "Energy estimate
(watt-hours)"; the linear form is that of Fan, Weber, Barroso, Power Provisioning for a Warehouse-sized Computer, ISCA
2007. Memory, disks, network and cooling are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Watts(msgspec.Struct, frozen=True):
    """Of one vCPU, or one GPU."""

    idle: float
    full: float


CPU_MODELS: Mapping[str, Watts] = {
    "cascade-lake": Watts(0.64, 3.97),
    "skylake": Watts(0.65, 4.26),
    "broadwell": Watts(0.71, 3.69),
    "haswell": Watts(1.0, 4.74),
    "coffee-lake": Watts(1.14, 5.42),
    "sandy-bridge": Watts(2.17, 8.58),
    "ivy-bridge": Watts(3.04, 8.25),
    "epyc-1": Watts(0.82, 2.55),
    "epyc-2": Watts(0.47, 1.69),
    "epyc-3": Watts(0.45, 2.02),
    "graviton-2": Watts(0.47, 1.69),
}

GPU_MODELS: Mapping[str, Watts] = {
    "T4": Watts(8, 71),
    "P4": Watts(9, 76.5),
    "P100": Watts(36, 306),
    "V100": Watts(35, 306),
    "V100M16": Watts(35, 306),
    "V100M32": Watts(35, 306),
    "A10": Watts(18, 153),
    "A100": Watts(46, 407),
    "K80": Watts(35, 306),
    "M60": Watts(35, 306),
}
"""By the model that nodes are labelled with. openb's G2 and G3 are anonymous: there is no model of them."""


class Power(msgspec.Struct, frozen=True):
    """What a node draws. `gpu`: of each device, None: by the model that its node is labelled with."""

    cpu: Watts
    gpu: Watts | None = None


POWER_MODEL = "podyard.dev/power-model"
"""Label of a node that says which of CPU_MODELS it is, as on the template of a NodePool."""

_BOTH_LAKES = Watts(0.645, 4.115)
"""Either Skylake or Cascade Lake: their mean, as Cloud Carbon Footprint has it."""

FAMILIES: Mapping[str, Watts] = {
    "t3": CPU_MODELS["cascade-lake"],
    "m5": CPU_MODELS["skylake"],
    "r5": CPU_MODELS["skylake"],
    "c5": _BOTH_LAKES,
    "g4dn": CPU_MODELS["cascade-lake"],
    "p3": CPU_MODELS["broadwell"],
    "p4d": CPU_MODELS["cascade-lake"],
    **dict.fromkeys(("t3a", "m5a", "r5a"), CPU_MODELS["epyc-1"]),
    **dict.fromkeys(("c5a", "g5"), CPU_MODELS["epyc-2"]),
    **dict.fromkeys(("c6a", "m6a", "r6a"), CPU_MODELS["epyc-3"]),
    **dict.fromkeys(("t4g", "c6g", "m6g", "r6g"), CPU_MODELS["graviton-2"]),
}
"""Of EC2's families of instance types. Sources: Cloud Carbon Footprint packages/aws/src/lib/AWSInstanceTypes.ts (2023),
and https://aws.amazon.com/ec2/instance-types/ for the processors of those that it does not list. Its tables hold no
SPECpower result of Ice Lake, Sapphire Rapids, Genoa and Graviton 3, so c6i, m7i, m7a, m7g and the like are not here."""


def power_of_labels(labels: Mapping[str, str]) -> Watts | None:
    """Of the CPUs of a node that nobody has written a power model for: by the label that names one, else by its
    instance type; None where neither is known."""
    named = labels.get(POWER_MODEL)
    if named is not None:
        return CPU_MODELS.get(named)
    return FAMILIES.get(labels.get("node.kubernetes.io/instance-type", "").partition(".")[0])
