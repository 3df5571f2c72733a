"""NodePorts: the host ports that the pod asks for are free on the node.

Source of the semantics: kube-scheduler 1.32 framework/types.go HostPortInfo: a port is taken per protocol and host IP,
and 0.0.0.0 stands for every IP; containers alone count, init containers do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness.model.core import Pod
from harness.scheduling.filters.filter import Nodes, Scope
from harness.scheduling.strategy import Bool, Int64

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot

REASON = "node(s) didn't have free ports for the requested pod ports"
"""Source: kube-scheduler 1.32 plugins/nodeports ErrReason."""

ANY_IP = "0.0.0.0"
"""Source: kube-scheduler 1.32 framework/types.go DefaultBindAllHostIP."""

HostPort: TypeAlias = tuple[str, int, str]
"""Protocol, port, host IP."""


class HostPorts:
    """The host ports in use: by protocol and port, then by node, then by IP, how many pods."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, int], dict[int, dict[str, int]]] = {}

    def put(self, ports: tuple[HostPort, ...], node: int, change: int) -> None:
        for protocol, port, ip in ports:
            nodes = self._users.setdefault((protocol, port), {})
            ips = nodes.setdefault(node, {})
            count = ips.get(ip, 0) + change
            if count:
                ips[ip] = count
            else:
                del ips[ip]
                if not ips:
                    del nodes[node]

    def conflicts(self, port: HostPort, node: int) -> bool:
        ips = self._users.get(port[:2], {}).get(node)
        return ips is not None and (port[2] == ANY_IP or ANY_IP in ips or port[2] in ips)

    def users(self, port: HostPort) -> list[int]:
        """Nodes where someone uses the port, under whichever IP."""
        return list(self._users.get(port[:2], ()))

    def copy(self) -> HostPorts:
        twin = HostPorts()
        twin._users = {port: {node: dict(ips) for node, ips in nodes.items()} for port, nodes in self._users.items()}
        return twin


@dataclass(frozen=True, slots=True)
class NodePorts:
    ports: tuple[HostPort, ...]

    plugin = "NodePorts"
    scope = Scope.NODE_USAGE
    resolvable = True
    node_names = None

    def mask(self, state: Snapshot, nodes: Nodes) -> Bool:
        free = np.ones(len(state.node_table), dtype=np.bool_)
        for port in self.ports:
            for node in state.ports.users(port):
                if free[node] and state.ports.conflicts(port, node):
                    free[node] = False
        return free[nodes]

    def holds(self, state: Snapshot, node: int) -> bool:
        return not any(state.ports.conflicts(port, node) for port in self.ports)

    def reasons(self, state: Snapshot, node: int) -> tuple[str, ...]:
        return (REASON,)

    def count_reasons(self, state: Snapshot, nodes: Int64) -> list[tuple[str, int]]:
        return [(REASON, len(nodes))]


def node_ports(pod: Pod) -> NodePorts | None:
    ports = {
        (port.protocol or "TCP", port.host_port, port.host_ip or ANY_IP)
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port and port.host_port > 0
    }
    return NodePorts(tuple(sorted(ports))) if ports else None
