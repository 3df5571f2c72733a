"""The catalogue as columns: which instance types and offerings meet a requirement, take some pods, and cost how much.

A set of offerings is bool [types, columns]; a column is a zone and a capacity type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from harness.autoscaling.provisioning.catalogue import Catalogue, InstanceType
from harness.autoscaling.provisioning.requirements import Requirement, Requirements
from harness.model.gpu import WHOLE_GPU
from harness.model.karpenter import CAPACITY_TYPE, ON_DEMAND, SPOT, ZONE
from harness.model.pod_amounts import resource_amounts
from harness.scheduling.state.resource_rows import ResourceRows
from harness.scheduling.strategy import Bool, Int64, PodClass

Float64 = npt.NDArray[np.float64]


class Offers:
    """`rows`: which row a resource has; the last row beyond them is of GPU devices, in thousandths."""

    def __init__(self, catalogue: Catalogue, rows: ResourceRows) -> None:
        self.catalogue = catalogue
        self.types: Sequence[InstanceType] = catalogue.types
        self.columns = [(zone, capacity) for capacity in (ON_DEMAND, SPOT) for zone in catalogue.zones]
        place = {column: index for index, column in enumerate(self.columns)}
        self.price: Float64 = np.full((len(self.types), len(self.columns)), np.inf)
        for index, item in enumerate(self.types):
            for offering in item.offerings:
                self.price[index, place[offering.zone, offering.capacity_type]] = offering.price
        self.available: Bool = np.isfinite(self.price)
        self.withdrawn: dict[tuple[int, int], int] = {}  # places, and until when
        self._row_of = {item.name: index for index, item in enumerate(self.types)}
        self.is_spot: Bool = np.array([capacity == SPOT for _, capacity in self.columns], dtype=np.bool_)
        self._rows = rows
        self._masks: dict[Requirement, Bool] = {}
        self._allocatable: Int64 = np.zeros((0, 0), dtype=np.int64)

    def row(self, instance_type: str) -> int:
        return self._row_of[instance_type]

    # -- availability --------------------------------------------------------------------------------------------------

    def withdraw(self, places: Iterable[tuple[int, int]], until_ns: int) -> None:
        """Offerings, as (type, column), of which there are no machines: they are open to nobody for a while."""
        for place in places:
            self.withdrawn[place] = until_ns
            self.available[place] = False

    def restore(self, now: int) -> bool:
        """Those whose time is over may be asked for again; whether there are any."""
        over = [place for place, until in self.withdrawn.items() if until <= now]
        for place in over:
            del self.withdrawn[place]
            self.available[place] = True
        return bool(over)

    # -- requirements --------------------------------------------------------------------------------------------------

    def meeting(self, requirements: Requirements | Sequence[Requirement]) -> Bool:
        """Offerings that meet all of them. Source: cloudprovider/types.go Compatible, scheduling/nodeclaim.go
        compatible."""
        out = self.available.copy()
        for item in requirements:
            out &= self._mask(item)
        return out

    def types_meeting(self, requirements: Iterable[Requirement]) -> Bool:
        """Types that meet requirements of none but types; bool [types, 1]."""
        out = np.ones((len(self.types), 1), dtype=np.bool_)
        for item in requirements:
            out &= self._mask(item)
        return out

    def _mask(self, item: Requirement) -> Bool:
        known = self._masks.get(item)
        if known is None:
            if item.key in (ZONE, CAPACITY_TYPE):
                at = (ZONE, CAPACITY_TYPE).index(item.key)
                known = np.array([[item.has(column[at]) for column in self.columns]], dtype=np.bool_)
            else:
                known = np.array([[self._type_meets(one, item)] for one in self.types], dtype=np.bool_)
            if len(self._masks) > 4096:
                self._masks.clear()
            self._masks[item] = known
        return known

    @staticmethod
    def _type_meets(item: InstanceType, wanted: Requirement) -> bool:
        """Labels that no instance type has are the NodePool's affair; those of instance types are there or are not."""
        value = item.labels.get(wanted.key)
        if value is not None:
            return wanted.has(value)
        of_instance_types = wanted.key.startswith("karpenter.k8s.aws/instance-")
        return wanted.allows_absence if of_instance_types else True

    def enough_values(self, requirements: Requirements, open_: Bool) -> bool:
        """Whether each minValues is met. Source: cloudprovider/types.go SatisfiesMinValues, MinValuesPolicy Strict."""
        for item in requirements:
            if item.min_values is None:
                continue
            if item.key in (ZONE, CAPACITY_TYPE):
                at = (ZONE, CAPACITY_TYPE).index(item.key)
                found = {self.columns[index][at] for index in np.flatnonzero(open_.any(axis=0)).tolist()}
            else:
                rows = np.flatnonzero(open_.any(axis=1)).tolist()
                found = {self.types[row].labels.get(item.key, "") for row in rows} - {""}
            if len(found) < item.min_values:
                return False
        return True

    # -- amounts -------------------------------------------------------------------------------------------------------

    @property
    def allocatable(self) -> Int64:
        """int64 [types, rows + 1]."""
        if self._allocatable.shape[1] != len(self._rows) + 1:
            out = np.zeros((len(self.types), len(self._rows) + 1), dtype=np.int64)
            for index, item in enumerate(self.types):
                for name, amount in resource_amounts(item.allocatable).items():
                    if name == WHOLE_GPU:
                        out[index, -1] = 1000 * amount
                    elif name in self._rows.names:
                        out[index, self._rows.row(name)] = amount
            self._allocatable = out
        return self._allocatable

    def amounts(self, cls: PodClass) -> Int64:
        """What a pod of the class takes, int64 [rows + 1]."""
        out = np.zeros(len(self._rows) + 1, dtype=np.int64)
        out[: len(cls.amounts)] = cls.amounts
        out[-1] = cls.gpu.count * cls.gpu.milli
        return out

    def fitting(self, requests: Int64, overhead: Int64) -> Bool:
        """Types that take `requests` beside `overhead` [types, rows + 1]; bool [types, 1]."""
        wanted = np.zeros(self.allocatable.shape[1], dtype=np.int64)
        wanted[: len(requests) - 1], wanted[-1] = requests[:-1], requests[-1]
        more = np.zeros_like(self.allocatable)
        more[:, : overhead.shape[1] - 1], more[:, -1] = overhead[:, :-1], overhead[:, -1]
        taken = wanted + more
        found: Bool = ((taken <= self.allocatable) | (taken == 0)).all(axis=1)[:, None]
        return found

    # -- choosing ------------------------------------------------------------------------------------------------------

    def cheapest(self, open_: Bool) -> tuple[int, int]:
        """(type, column) of the lowest price among `open_`; ties by the order of the catalogue."""
        price = np.where(open_, self.price, np.inf)
        return divmod(int(price.argmin()), len(self.columns))

    def ties(self, open_: Bool) -> list[tuple[int, int]]:
        """All that cost the least, spot before on demand. Source: karpenter-provider-aws instance.go getCapacityType
        (spot where it is allowed and offered), CreateFleet's strategy lowest-price."""
        spot = open_ & self.is_spot
        price = np.where(spot if spot.any() else open_, self.price, np.inf)
        best = price.min()
        return [divmod(index, len(self.columns)) for index in np.flatnonzero((price == best).ravel()).tolist()]

    def labels(self, row: int, column: int) -> Mapping[str, str]:
        zone, capacity = self.columns[column]
        out = {**self.types[row].labels, CAPACITY_TYPE: capacity}
        if zone:
            out[ZONE] = zone
        return out
