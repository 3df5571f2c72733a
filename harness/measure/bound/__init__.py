"""Proven bounds: what any scheduler, even clairvoyant, can have allocated, and how many nodes it must have used.

Ask for one: `upper_bound(aggregate(nodes, pods))`, with `.valued("pods")` for another objective.
"""

from harness.measure.bound.certificate import Certificate
from harness.measure.bound.generation import Effort
from harness.measure.bound.instance import Instance, Nodes, Pods, aggregate
from harness.measure.bound.packing import Load, Packing
from harness.measure.bound.solve import Bound, nodes_needed, upper_bound

__all__ = [
    "Bound",
    "Certificate",
    "Effort",
    "Instance",
    "Load",
    "Nodes",
    "Packing",
    "Pods",
    "aggregate",
    "nodes_needed",
    "upper_bound",
]
