"""`binpack`: the queue's batch as one packing problem, solved by OR-Tools over pod classes and node groups."""

from __future__ import annotations

from schedulers.binpack.curve import Point, gain_by_budget
from schedulers.binpack.migrating import Migrating
from schedulers.binpack.solve import Effort
from schedulers.binpack.strategy import BinPack

__all__ = ["BinPack", "Effort", "Migrating", "Point", "gain_by_budget"]
