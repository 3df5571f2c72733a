"""The EndpointSlice controller: where each Service's pods can be reached, in slices of limited size.

A change of a pod costs the rewriting of one slice, however many endpoints the Service has. Source:
pkg/controller/endpointslice; staging/src/k8s.io/endpointslice reconciler.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.expectations import Expectations
from harness.controllers.runtime.pods import controller_of
from harness.controllers.runtime.reconciler import Reconciler
from harness.controllers.runtime.selectors import Groups, Selectors
from harness.controllers.services.endpointslice.endpoints import (
    ZONE,
    Ports,
    belongs,
    endpoint_of,
    fixed_ports,
    ports_of,
    unready_too,
)
from harness.engine.component import Create, Delete, Instant, LazyWatch, Outcome, Update
from harness.model.core import Node, Pod, Service
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.workloads import Endpoint, EndpointSlice

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY, MANAGER = "endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
"""Source: discovery/v1 well_known_labels.go."""


class _Slice:
    """One EndpointSlice, by the pods in it; `fresh` when a reconciliation changes it."""

    __slots__ = ("endpoints", "obj")

    def __init__(self, obj: EndpointSlice) -> None:
        self.obj = obj
        self.endpoints = {_target(item): item for item in obj.endpoints}


class _Served:
    """What is known of one Service."""

    __slots__ = ("dirty", "everything", "placed", "slices")

    def __init__(self) -> None:
        self.dirty: dict[str, None] = {}  # pods to look at, by key
        self.everything = True  # look at all of them, and at the slices' labels
        self.slices: dict[str, _Slice] = {}  # by the slice's key
        self.placed: dict[str, str] = {}  # pod -> slice


class EndpointSliceController(Reconciler):
    """Keys are 'namespace/name' of Services."""

    def __init__(self, name: str = "endpointslice-controller") -> None:
        super().__init__(
            name,
            {
                "Service": self._service_changed,
                "Node": self._node_changed,
                "Pod": self._pod_changed,
                "EndpointSlice": self._slice_changed,
            },
            {"Pod": _labelled},
        )
        self.lazy_watches = (LazyWatch(("Pod", "Node"), {"Service": None, "EndpointSlice": None}),)
        self._served: dict[str, _Served] = {}
        self._pods = Groups()
        self._selectors = Selectors()
        self._expected = Expectations()  # slices, by the Service's uid
        self._zoneless: dict[str, dict[str, None]] = {}  # node not known yet -> Services that have endpoints there

    def forget_all(self) -> None:
        super().forget_all()
        self._served.clear()
        self._pods.clear()
        self._selectors.clear()
        self._expected.clear()
        self._zoneless.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        if new is None:
            assert old is not None
            meta = old.metadata
            self._selectors.put(meta.key, meta.namespace, None)
            self._expected.forget(meta.uid)
            self.queue.add(meta.key)
            return
        meta, spec = new.metadata, new.spec
        selects = spec.selector and spec.type != "ExternalName"
        self._selectors.put(meta.key, meta.namespace, LabelSelector(match_labels=spec.selector) if selects else None)
        self._look_at_everything(meta.key)

    def _look_at_everything(self, key: str) -> None:
        self._of(key).everything = True
        self.queue.add(key)

    def _of(self, key: str) -> _Served:
        served = self._served.get(key)
        if served is None:
            served = self._served[key] = _Served()
        return served

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            return
        name = new.metadata.name
        if old is None:
            concerned: Iterable[str] = self._zoneless.pop(name, ())
        elif old.metadata.labels is new.metadata.labels or _zone(old) == _zone(new):
            return
        else:
            concerned = list(self._served)
        for key in concerned:
            self._look_at_everything(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            assert old is not None
            self._lost(old.metadata.key, old)
            return
        meta = new.metadata
        key = f"{meta.namespace}/{meta.name}"
        if old is not None and old.metadata.labels is not meta.labels and old.metadata.labels != meta.labels:
            self._lost(key, old)
        self._dirty(key, self._selectors.of(self._pods.add(key, meta.namespace, meta.labels, new)))

    def _lost(self, key: str, old: Pod) -> None:
        group = self._pods.remove(key, old.metadata.namespace, old.metadata.labels)
        if group is not None:
            self._dirty(key, self._selectors.of(group))

    def _dirty(self, pod: str, services: tuple[str, ...]) -> None:
        batch_ns = self.constants.endpointslice_batch_period_ns
        for key in services:
            self._of(key).dirty[pod] = None
            if batch_ns:
                self.queue.add_at(key, self.now + batch_ns)
            else:
                self.queue.add(key)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        item = new if new is not None else old
        assert item is not None
        meta = item.metadata
        if meta.labels.get(MANAGED_BY) != MANAGER or SERVICE_NAME not in meta.labels:
            return
        key = f"{meta.namespace}/{meta.labels[SERVICE_NAME]}"
        served = self._of(key)
        before = served.slices.pop(meta.key, None)
        if new is None:
            if before is not None:
                for pod in before.endpoints:
                    if served.placed.get(pod) == meta.key:
                        del served.placed[pod]
                        served.dirty[pod] = None
            if not served.slices:
                self._look_at_everything(key)
            self.queue.add(key)
            return
        now = served.slices[meta.key] = _Slice(new)
        if before is None:
            owner = controller_of(new, "Service")
            if owner is not None:
                self._expected.created(owner.uid)
            for pod in now.endpoints:
                served.placed[pod] = meta.key
                served.dirty[pod] = None
        else:
            for pod, endpoint in before.endpoints.items():
                if pod not in now.endpoints:
                    if served.placed.get(pod) == meta.key:
                        del served.placed[pod]
                    served.dirty[pod] = None
                elif now.endpoints[pod] is not endpoint:
                    served.dirty[pod] = None
            for pod in now.endpoints:
                if pod not in before.endpoints:
                    served.placed[pod] = meta.key
                    served.dirty[pod] = None
        self.queue.add(key)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        service: Service | None = self.informer.get("Service", key)
        served = self._served.get(key)
        if service is None or served is None:
            if served is not None and not served.slices:
                del self._served[key]
            return
        meta, spec = service.metadata, service.spec
        if not spec.selector or spec.type == "ExternalName" or meta.deletion_timestamp is not None:
            return
        until = self._expected.until(meta.uid)
        if until is not None and until > now:
            self.queue.add_at(key, until)
            return
        everything, served.everything = served.everything, False
        if everything:
            selector = LabelSelector(match_labels=spec.selector)
            for group in self._pods.selected(meta.namespace, selector):
                served.dirty.update(dict.fromkeys(group.members))
            served.dirty.update(dict.fromkeys(served.placed))
        dirty, served.dirty = served.dirty, {}
        changed: dict[str, dict[str, Endpoint]] = {}
        coming: dict[Any, tuple[Ports, dict[str, Endpoint]]] = {}
        same_for_all = fixed_ports(service)
        for pod_key in dirty:
            self._place(key, service, served, pod_key, same_for_all, changed, coming)
        created: list[EndpointSlice] = []
        for ports, endpoints in coming.values():
            created += self._fit(service, served, ports, endpoints, changed)
        self._write(now, key, service, served, changed, created, everything)

    def _place(
        self,
        key: str,
        service: Service,
        served: _Served,
        pod_key: str,
        same_for_all: Ports | None,
        changed: dict[str, dict[str, Endpoint]],
        coming: dict[Any, tuple[Ports, dict[str, Endpoint]]],
    ) -> None:
        """One pod: as it should be listed, into the slice where it is, or among those that come."""
        pod: Pod | None = self.informer.get("Pod", pod_key)
        at = served.placed.get(pod_key)
        listed = pod is not None and belongs(pod) and _selects(service.spec.selector, pod.metadata.labels)
        if pod is None or not listed:
            if at is not None:
                _edit(changed, served, at).pop(pod_key, None)
            return
        endpoint = endpoint_of(pod, self._zone_for(key, pod), unready_too=unready_too(service))
        ports = ports_of(service, pod) if same_for_all is None else same_for_all
        if at is not None:
            here = served.slices[at]
            if here.obj.ports == ports:
                if here.endpoints[pod_key] != endpoint:
                    _edit(changed, served, at)[pod_key] = endpoint
                return
            _edit(changed, served, at).pop(pod_key, None)
        numbers = tuple((port.name, port.protocol, port.port) for port in ports)
        coming.setdefault(numbers, (ports, {}))[1][pod_key] = endpoint

    def _zone_for(self, key: str, pod: Pod) -> str | None:
        name = pod.spec.node_name
        node: Node | None = self.informer.get("Node", name)
        if node is None:
            if name:
                self._zoneless.setdefault(name, {})[key] = None
            return None
        return _zone(node)

    def _fit(
        self,
        service: Service,
        served: _Served,
        ports: Ports,
        endpoints: dict[str, Endpoint],
        changed: dict[str, dict[str, Endpoint]],
    ) -> list[EndpointSlice]:
        """First into slices that change anyway, then full new ones, and the rest into the fullest slice that takes
        it, so that few slices are written. Source: reconciler.go reconcileByPortMapping."""
        left = list(endpoints.items())
        most = self.constants.max_endpoints_per_slice
        for key in sorted(changed):
            if served.slices[key].obj.ports == ports:
                room = most - len(changed[key])
                changed[key].update(left[:room])
                left = left[room:]
        created = []
        while len(left) >= most:
            created.append(_made(service, ports, tuple(item for _, item in left[:most])))
            left = left[most:]
        if left:
            fitting = [
                (-len(item.endpoints), key)
                for key, item in served.slices.items()
                if key not in changed and item.obj.ports == ports and len(item.endpoints) + len(left) <= most
            ]
            if fitting:
                _edit(changed, served, min(fitting)[1]).update(left)
            else:
                created.append(_made(service, ports, tuple(item for _, item in left)))
        return created

    def _write(
        self,
        now: Instant,
        key: str,
        service: Service,
        served: _Served,
        changed: dict[str, dict[str, Endpoint]],
        created: Sequence[EndpointSlice],
        everything: bool,
    ) -> None:
        meta = service.metadata
        labels = _labels(service)
        left = len(created)
        touched = []
        for slice_key in sorted(served.slices):
            endpoints = changed.get(slice_key, served.slices[slice_key].endpoints)
            left += bool(endpoints)
            if everything or not endpoints or slice_key in changed:
                touched.append((served.slices[slice_key].obj, tuple(endpoints.values())))
        for obj, listed in touched:
            new = replace(obj, endpoints=listed)
            if not listed:
                if left:
                    gone = obj.metadata
                    self.write(key, Delete("EndpointSlice", gone.namespace, gone.name, gone.uid, token=key))
                    continue
                # A Service without endpoints keeps one empty slice.
                left = 1
                new = replace(new, ports=fixed_ports(service) or ())
            if new.metadata.labels != labels:
                new = replace(new, metadata=replace(new.metadata, labels=labels))
            if new != obj:
                self.write(key, Update(new, "", key))
        if not left:
            created = [_made(service, fixed_ports(service) or (), ())]
        if created:
            self._expected.expect_creations(meta.uid, len(created), now)
            for made in created:
                self.write(key, Create(made, key))

    # -- what became of it ---------------------------------------------------------------------------------------------

    def failed(self, key: str, outcome: Outcome) -> bool:
        service = self.informer.get("Service", key)
        if service is None:
            return False
        if isinstance(outcome.effect, Create):
            self._expected.created(service.metadata.uid)
            if outcome.error is not None and "being terminated" in outcome.error.message:
                return False
        self._of(key).everything = True
        counts = super().failed(key, outcome)
        if counts:
            message = f"Failed to update endpoint slices for Service {key}: {outcome.error}"
            self.record(service, "Warning", "FailedToUpdateEndpointSlices", message)
        return counts


def _labelled(pod: Pod) -> bool:
    """Without labels nothing selects it: a Service's selector asks for at least one."""
    return bool(pod.metadata.labels)


def _target(endpoint: Endpoint) -> str:
    ref = endpoint.target_ref
    return f"{ref.namespace}/{ref.name}" if ref is not None else ",".join(endpoint.addresses)


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _zone(node: Node) -> str | None:
    return node.metadata.labels.get(ZONE)


def _edit(changed: dict[str, dict[str, Endpoint]], served: _Served, key: str) -> dict[str, Endpoint]:
    """The endpoints of a slice, to be changed."""
    found = changed.get(key)
    if found is None:
        found = changed[key] = dict(served.slices[key].endpoints)
    return found


def _labels(service: Service) -> dict[str, str]:
    meta = service.metadata
    labels: dict[str, Any] = {**meta.labels, SERVICE_NAME: meta.name, MANAGED_BY: MANAGER}
    if service.spec.cluster_ip == "None":
        labels[HEADLESS] = ""
    return labels


def _made(service: Service, ports: Ports, endpoints: tuple[Endpoint, ...]) -> EndpointSlice:
    meta = service.metadata
    owner = OwnerReference(
        api_version="v1", kind="Service", name=meta.name, uid=meta.uid, controller=True, block_owner_deletion=True
    )
    return EndpointSlice(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            generate_name=f"{meta.name}-",
            labels=_labels(service),
            owner_references=(owner,),
        ),
        address_type="IPv4",
        endpoints=endpoints,
        ports=ports,
    )
