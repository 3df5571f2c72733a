"""The ClusterRole aggregation controller: a role with an aggregationRule has the rules of the roles that it selects.

Source: pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go (1.34).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.apiserver.http.server_listener import ServerListener
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.model.meta import ApiObject, LabelSelector
from harness.model.objects import Kind
from harness.model.status import ApiError
from harness.model.wire import DecodeError, Json, decode


class RoleAggregation(ServerListener):
    """Any ClusterRole that is written may be selected by any other: all are looked at again, as in Kubernetes."""

    def attach(self) -> None:
        self.listen()
        aggregate(self._driver.server)

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject | None, revision: int) -> None:
        if kind.kind == "ClusterRole":
            self._driver.submit(aggregate)


def aggregate(server: ApiServer) -> None:
    """Each role once: what changes is heard of, and is looked at again."""
    for name in sorted(server.objects("ClusterRole")):
        role = server.objects("ClusterRole").get(name)
        body = {} if role is None else role.extra or {}
        if role is None or not body.get("aggregationRule") or role.metadata.deletion_timestamp is not None:
            continue
        rules = _selected(server, role)
        if rules != (body.get("rules") or []):
            try:
                server.update(replaced(role, extra={**body, "rules": rules}))
            except ApiError:
                continue  # refused now, as an unsound one of an earlier version is: tried again with the next write


def _selected(server: ApiServer, role: ApiObject) -> list[Json]:
    """By selector, then by name of the role; a rule that is there is not taken again."""
    rules: list[Json] = []
    roles = server.objects("ClusterRole")
    for selector in _selectors(role):
        for name in sorted(roles):
            other = roles[name]
            if name != role.metadata.name and selector.matches(other.metadata.labels):
                rules += [rule for rule in (other.extra or {}).get("rules") or [] if rule not in rules]
    return rules


def _selectors(role: ApiObject) -> Iterator[LabelSelector]:
    for item in (role.extra or {})["aggregationRule"].get("clusterRoleSelectors") or []:
        try:
            selector = decode(LabelSelector, item)
        except DecodeError:
            continue  # of a store that an earlier version wrote, which did not look at it
        yield selector
