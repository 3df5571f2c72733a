"""Proven bounds: what any scheduler, even clairvoyant, can have allocated, and how many nodes it must have used.

Ask for one: `upper_bound(aggregate(nodes, pods))`, with `.valued("pods")` for another objective; for all instants of a
run at once: `bound_curve(instance, arrivals(instance))`.
"""

from harness.measure.bound.certificate import Certificate
from harness.measure.bound.curve import Changes, Curve, arrivals, bound_curve, lifetimes
from harness.measure.bound.generation import Effort
from harness.measure.bound.instance import Instance, Nodes, Pods, aggregate
from harness.measure.bound.packing import Load, Packing
from harness.measure.bound.solve import Bound, nodes_needed, upper_bound
from harness.measure.bound.work import most_over

__all__ = [
    "Bound",
    "Certificate",
    "Changes",
    "Curve",
    "Effort",
    "Instance",
    "Load",
    "Nodes",
    "Packing",
    "Pods",
    "aggregate",
    "arrivals",
    "bound_curve",
    "lifetimes",
    "most_over",
    "nodes_needed",
    "upper_bound",
]
