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
