"""The host ports in use on each node.

Source of the semantics: kube-scheduler 1.32 framework/types.go HostPortInfo: a port is taken per protocol and host IP,
and 0.0.0.0 stands for every IP.
"""

from __future__ import annotations

from harness.scheduling.strategy import HostPort

ANY_IP = "0.0.0.0"
"""Source: kube-scheduler 1.32 framework/types.go DefaultBindAllHostIP."""


class HostPorts:
    """The host ports in use: by protocol and port, then by node, then by IP, how many pods."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, int], dict[int, dict[str, int]]] = {}

    def add(self, ports: tuple[HostPort, ...], node: int) -> None:
        for protocol, port, ip in ports:
            ips = self._users.setdefault((protocol, port), {}).setdefault(node, {})
            ips[ip] = ips.get(ip, 0) + 1

    def remove(self, ports: tuple[HostPort, ...], node: int) -> None:
        for protocol, port, ip in ports:
            nodes = self._users[protocol, port]
            ips = nodes[node]
            if ips[ip] > 1:
                ips[ip] -= 1
                continue
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
