"""The selectors of services and controllers: by which pods are spread that say nothing of spreading themselves.

Source: kube-scheduler 1.32 plugins/helper/spread.go DefaultSelector: the selectors of all services that select the pod,
and of its controller when that is a ReplicationController, ReplicaSet or StatefulSet.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.scheduling.matching.affinity_terms import LabelKey, label_key
from harness.scheduling.matching.pod_selectors import Requirements, hold
from harness.scheduling.strategy import PodView

CONTROLLERS = {"ReplicationController": "v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1"}
"""Kinds whose selector counts, with their apiVersion."""

_CACHE_SIZE = 65_536


class OwnerSelectors:
    def __init__(self) -> None:
        self._services: dict[str, dict[str, Requirements]] = {}
        self._controllers: dict[tuple[str, str, str], Requirements] = {}
        self.version = 0  # grows with each change
        self._known: dict[tuple[LabelKey, tuple[str, str] | None], Requirements] = {}

    def put_service(self, namespace: str, name: str, selector: Mapping[str, str] | None) -> None:
        """None when it is gone; a service without selector selects no pod."""
        self.version += 1
        self._known.clear()
        services = self._services.setdefault(namespace, {})
        services.pop(name, None)
        if selector:
            services[name] = tuple((key, "In", (value,)) for key, value in sorted(selector.items()))

    def put_controller(self, kind: str, namespace: str, name: str, selector: Requirements | None) -> None:
        self.version += 1
        self._known.clear()
        self._controllers.pop((kind, namespace, name), None)
        if selector is not None:
            self._controllers[kind, namespace, name] = selector

    def __bool__(self) -> bool:
        return bool(self._controllers) or any(self._services.values())

    def requirements_of(self, pod: PodView) -> Requirements:
        """What the pod is spread by; () when nothing selects it, so that it is not spread."""
        owner = pod.owner if pod.owner is not None and pod.owner[0] in CONTROLLERS else None
        key = (label_key(pod.namespace, pod.labels), owner)
        found = self._known.get(key)
        if found is None:
            services = self._services.get(pod.namespace, {}).values()
            wanted = {requirement for service in services if hold(service, pod.labels) for requirement in service}
            if owner is not None:
                kind, name = owner
                own = self._controllers.get((kind, pod.namespace, name), ())
                if kind == "ReplicationController":  # a map of labels as a service's selector is: the later value wins
                    keys = {key for key, _, _ in own}
                    wanted = {requirement for requirement in wanted if requirement[0] not in keys}
                wanted |= set(own)
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            found = self._known[key] = tuple(sorted(wanted))
        return found
