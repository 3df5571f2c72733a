"""Virtual addresses of services, from one range, lowest free first.

Source: pkg/registry/core/service/ipallocator; kubeadm's default service CIDR 10.96.0.0/12.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from harness.apiserver.admission.plugin import CREATE, UPDATE, AdmissionRequest, Plugin
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.watch_cache import WatchCache
from harness.engine.component import DELETED
from harness.model.core import Service
from harness.model.meta import ApiObject
from harness.model.status import ApiError, Cause, invalid
from harness.model.whole_numbers import whole_number

_BASE = (10 << 24) | (96 << 16)
_SIZE = 1 << 20

FIRST_NODE_PORT, LAST_NODE_PORT = 30000, 32767
"""Ports of nodes that services get. Source: kube-apiserver --service-node-port-range, 30000-32767."""

NODE_PORTS = f"{FIRST_NODE_PORT}-{LAST_NODE_PORT}"


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
        self._ports: dict[int, str] = {}  # node ports: whose they are
        self._next_port = FIRST_NODE_PORT

    def admit(self, request: AdmissionRequest) -> Any:
        new = self._allocate(request.obj) if request.old is None else _kept(request.obj, request.old)
        return self._with_node_ports(new, request.old)

    def observe(self, change: str, obj: ApiObject, old: ApiObject) -> None:
        if change == DELETED:
            self._release(obj)
        else:
            if old is not None:
                self._release_ports(old)
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
        for port in service.spec.ports:
            if port.node_port:
                self._ports[port.node_port] = service.metadata.key

    def _release(self, service: Service) -> None:
        number = _number(service.spec.cluster_ip)
        if number in self._taken:
            self._taken.discard(number)
            heappush(self._freed, number)
        self._release_ports(service)

    def _release_ports(self, service: Service) -> None:
        for port in service.spec.ports:
            if port.node_port:
                self._ports.pop(port.node_port, None)

    # -- ports of nodes ------------------------------------------------------------------------------------------------

    def _with_node_ports(self, service: Service, old: Service | None) -> Service:
        """Those services that nodes answer for have one a port: the one asked for, the one it had, or the next free.

        Raises ApiError Invalid for one that is taken or outside. Source: pkg/registry/core/service/storage/alloc.go.
        """
        spec = service.spec
        wanted = spec.type in ("NodePort", "LoadBalancer")
        if spec.type == "LoadBalancer" and (spec.extra or {}).get("allocateLoadBalancerNodePorts") is False:
            wanted = False
        if not wanted:
            if old is None or old.spec.type == spec.type or not any(port.node_port for port in spec.ports):
                return service
            return replaced(service, spec=replaced(spec, ports=tuple(replaced(p, node_port=None) for p in spec.ports)))
        mine = {} if old is None else {(p.port, p.protocol): p.node_port for p in old.spec.ports if p.node_port}
        given: set[int] = set()
        ports = []
        for index, port in enumerate(spec.ports):
            number = port.node_port or mine.get((port.port, port.protocol)) or 0
            if number and number not in mine.values():
                self._check_port(service, index, number)
            if not number:
                number = self._free_port(given)
            given.add(number)
            ports.append(port if port.node_port == number else replaced(port, node_port=number))
        return replaced(service, spec=replaced(spec, ports=tuple(ports)))

    def _check_port(self, service: Service, index: int, number: int) -> None:
        why = ""
        if not FIRST_NODE_PORT <= number <= LAST_NODE_PORT:
            why = f"provided port is not in the valid range. The range of valid ports is {NODE_PORTS}"
        elif self._ports.get(number, service.metadata.key) != service.metadata.key:
            why = "provided port is already allocated"
        if why:
            told = f"Invalid value: {number}: {why}"
            cause = Cause(f"spec.ports[{index}].nodePort", "FieldValueInvalid", told)
            raise invalid("Service", service.metadata.name, (cause,))

    def _free_port(self, given: set[int]) -> int:
        """The next one, round and round, so that one that was given back is not given out again at once."""
        for _ in range(LAST_NODE_PORT - FIRST_NODE_PORT + 1):
            number = self._next_port
            self._next_port = FIRST_NODE_PORT if number == LAST_NODE_PORT else number + 1
            if number not in self._ports and number not in given:
                return number
        raise ApiError(500, "InternalError", "failed to allocate a nodePort: range is full")

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
    parts = [whole_number(part) for part in address.split(".")]
    number = 0
    for part in parts:
        if part is None or part > 255 or len(parts) != 4:
            return None
        number = number << 8 | part
    return number - _BASE


def _text(number: int) -> str:
    address = _BASE + number
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def _refused(service: Service, why: str) -> Exception:
    cause = Cause("spec.clusterIPs", "FieldValueInvalid", f'Invalid value: ["{service.spec.cluster_ip}"]: {why}')
    return invalid("Service", service.metadata.name, (cause,))
