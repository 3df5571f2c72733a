"""Virtual addresses of services, from one range, lowest free first.

Source: pkg/registry/core/service/ipallocator; kubeadm's default service CIDR 10.96.0.0/12.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from harness.apiserver.admission.plugin import CREATE, UPDATE, Plugin, Request
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.watch_cache import WatchCache
from harness.engine.component import DELETED
from harness.model.core import Service
from harness.model.status import Cause, invalid

_BASE = (10 << 24) | (96 << 16)
_SIZE = 1 << 20


class ServiceAddresses(Plugin):
    operations = frozenset({CREATE, UPDATE})
    observes = frozenset({"Service"})

    def __init__(self, cache: WatchCache) -> None:
        super().__init__(cache)
        self._forget()

    def _forget(self) -> None:
        self._taken: set[int] = set()
        self._next = 10  # .1 is the API server's own, .10 is where cluster DNS lives
        self._freed: list[int] = []

    def admit(self, request: Request) -> Any:
        return self._allocate(request.obj) if request.old is None else _kept(request.obj, request.old)

    def observe(self, change: str, obj: Any, old: Any) -> None:
        if change == DELETED:
            self._release(obj)
        else:
            self._take(obj)

    def rebuild(self) -> None:
        self._forget()
        for service in self.cache.objects("Service").values():
            self._take(service)

    def _allocate(self, service: Service) -> Service:
        """A cluster IP for a service that asks for none. Raises ApiError Invalid for one that is taken or outside."""
        spec = service.spec
        if spec.type == "ExternalName" or spec.cluster_ip == "None":
            return service
        if spec.cluster_ip:
            number = _number(spec.cluster_ip)
            if number is None or not 0 <= number < _SIZE:
                raise _refused(service, "the provided IP is not in the valid range 10.96.0.0/12")
            if number in self._taken:
                raise _refused(service, "provided IP is already allocated")
            address = spec.cluster_ip
        else:
            address = _text(self._free_number())
        return replaced(service, spec=replaced(spec, cluster_ip=address, cluster_ips=(address,)))

    def _take(self, service: Service) -> None:
        number = _number(service.spec.cluster_ip)
        if number is not None:
            self._taken.add(number)

    def _release(self, service: Service) -> None:
        number = _number(service.spec.cluster_ip)
        if number in self._taken:
            self._taken.discard(number)
            heappush(self._freed, number)

    def _free_number(self) -> int:
        while self._freed:
            number = heappop(self._freed)
            if number not in self._taken:
                return number
        while self._next in self._taken:
            self._next += 1
        return self._next


def _kept(new: Service, old: Service) -> Service:
    """An update without an address keeps the one it has."""
    if new.spec.cluster_ip or not old.spec.cluster_ip:
        return new
    return replaced(new, spec=replaced(new.spec, cluster_ip=old.spec.cluster_ip, cluster_ips=old.spec.cluster_ips))


def _number(address: str) -> int | None:
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isdigit() for part in parts):
        return None
    number = 0
    for part in parts:
        number = number << 8 | int(part)
    return number - _BASE


def _text(number: int) -> str:
    address = _BASE + number
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def _refused(service: Service, why: str) -> Exception:
    cause = Cause("spec.clusterIPs", "FieldValueInvalid", f'Invalid value: ["{service.spec.cluster_ip}"]: {why}')
    return invalid("Service", service.metadata.name, (cause,))
