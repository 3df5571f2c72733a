"""NodePorts: the host ports that the pod asks for are free on the node.

Source of the semantics: kube-scheduler 1.32 framework/types.go HostPortInfo: a port is taken per protocol and host IP,
and 0.0.0.0 stands for every IP; containers alone count, init containers do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.scheduling.filters.filter import Scope
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.host_ports import ANY_IP
from harness.scheduling.strategy import Bool, HostPort, Int64

REASON = "node(s) didn't have free ports for the requested pod ports"
"""Source: kube-scheduler 1.32 plugins/nodeports ErrReason."""


@dataclass(frozen=True, slots=True)
class NodePorts:
    ports: tuple[HostPort, ...]

    plugin = "NodePorts"
    scope = Scope.NODE_USAGE
    resolvable = True
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        free = np.ones(len(state.node_table), dtype=np.bool_)
        for port in self.ports:
            for node in state.ports.users(port):
                if free[node] and state.ports.conflicts(port, node):
                    free[node] = False
        return free[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return not any(state.ports.conflicts(port, node) for port in self.ports)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (REASON,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(REASON, len(nodes))]


def make_filters(pod: Pod) -> tuple[NodePorts, ...]:
    ports = {
        (port.protocol or "TCP", port.host_port, port.host_ip or ANY_IP)
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port and port.host_port > 0
    }
    return (NodePorts(tuple(sorted(ports))),) if ports else ()
