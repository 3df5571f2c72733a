"""The controller of resource claims: one for each template that a pod names, and an end to what no pod uses any more.

Who allocates devices to a claim is the scheduler (one from outside: Podyard's own does not).
Source: pkg/controller/resourceclaim/controller.go, k8s.io/dynamic-resource-allocation resourceclaim (1.34).
Not modelled: reservations of what is no pod.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from harness.controllers.runtime.pods import owner_reference
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import SECOND, Create, Delete, Instant, Outcome, PatchStatus, Subscribe, Update
from harness.model.core import Pod
from harness.model.meta import ObjectMeta
from harness.model.objects import Unstructured
from harness.model.wire import Json, decode

POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
"""Annotation of a claim that was made for a pod: which one of the pod's. Source: podResourceClaimAnnotation."""

FINALIZER = "resource.kubernetes.io/delete-protection"
"""Of a claim that has devices. Source: k8s.io/api/resource/v1 Finalizer."""

MOST_RESERVATIONS = 256
"""Source: k8s.io/api/resource/v1 ResourceClaimReservedForMaxSize."""

LONGEST_BASE = 57
"""Characters of a generated name before the random ones. Source: maxBaseLen."""

SURELY_GONE_NS = 5 * SECOND
"""For how long a pod that a claim names must not be known before it is gone: its creation may be on its way. The
original asks the API server."""


class ResourceClaimController(Reconciler):
    """Keys are 'pod:namespace/name', 'claim:namespace/name'. Pods are watched from the first claim or template on."""

    def __init__(self, name: str = "resourceclaim-controller") -> None:
        super().__init__(
            name,
            {
                "ResourceClaim": self._claim_changed,
                "ResourceClaimTemplate": self._template_changed,
                "Pod": self._pod_changed,
            },
            keeps={"Pod": lambda pod: bool(_claims_of(pod))},
        )
        self.watches = ("ResourceClaim", "ResourceClaimTemplate")
        self._subscribed = False
        self._users: dict[str, dict[str, None]] = {}  # key of a claim -> keys of the pods that use it
        self._made: dict[str, dict[str, str]] = {}  # uid of a pod -> its name for a claim -> the claim's name
        self._gone: dict[str, None] = {}  # uids of deleted pods
        self._absent: dict[tuple[str, str], Instant] = {}  # (claim's key, uid of a pod not known) -> since when
        self._freed: dict[str, None] = {}  # uids of claims whose devices were taken away

    def forget_all(self) -> None:
        super().forget_all()
        self._subscribed = False
        for held in (self._users, self._made, self._gone, self._absent, self._freed):
            held.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _template_changed(self, old: Unstructured | None, new: Unstructured | None) -> None:
        self._watch_pods()
        if old is None and new is not None:
            for pod in self.informer.objects("Pod").values():
                if pod.metadata.namespace == new.metadata.namespace:
                    self.queue.add(f"pod:{pod.metadata.key}")

    def _claim_changed(self, old: Unstructured | None, new: Unstructured | None) -> None:
        self._watch_pods()
        claim = new if new is not None else old
        assert claim is not None
        key, owner = claim.metadata.key, _owning_pod(claim)
        if old is not None and owner is not None and new is None:
            self._made.get(owner[1], {}).pop(claim.metadata.annotations.get(POD_CLAIM, ""), None)
        if new is not None and owner is not None and POD_CLAIM in new.metadata.annotations:
            self._made.setdefault(owner[1], {})[new.metadata.annotations[POD_CLAIM]] = new.metadata.name
        if new is None:
            self._freed.pop(claim.metadata.uid, None)
        else:
            self.queue.add(f"claim:{key}")
        if owner is not None:
            self.queue.add(f"pod:{claim.metadata.namespace}/{owner[0]}")
        for pod in self._users.get(key, ()):
            self.queue.add(f"pod:{pod}")

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        key = pod.metadata.key
        for was in () if old is None else _names_of(old):
            users = self._users.get(was, {})
            users.pop(key, None)
            if not users:
                self._users.pop(was, None)
        if new is None:
            self._gone[pod.metadata.uid] = None
            self._made.pop(pod.metadata.uid, None)
        else:
            for name in _names_of(new):
                self._users.setdefault(name, {})[key] = None
            self.queue.add(f"pod:{key}")
        if new is None or _is_done(new):
            for name in _names_of(pod):
                self.queue.add(f"claim:{name}")

    def _watch_pods(self) -> None:
        if not self._subscribed:
            self._subscribed = True
            self._effects.append(Subscribe(("Pod",)))

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        what, _, name = key.partition(":")
        if what == "pod":
            pod: Pod | None = self.informer.get("Pod", name)
            if pod is not None and pod.metadata.deletion_timestamp is None:
                self._reconcile_pod(key, pod)
        elif (claim := self.informer.get("ResourceClaim", name)) is not None:
            self._reconcile_claim(now, key, claim)

    def _reconcile_pod(self, key: str, pod: Pod) -> None:
        namespace = pod.metadata.namespace
        made: dict[str, str] = {}
        for item in _claims_of(pod):
            name, template = str(item.get("name", "")), item.get("resourceClaimTemplateName")
            if not template or self._is_there(pod, name) or _is_done(pod):
                continue
            found = self._made.get(pod.metadata.uid, {}).get(name)
            if found is not None:
                made[name] = found
                continue
            there = self.informer.get("ResourceClaimTemplate", f"{namespace}/{template}")
            if there is None:
                told = f'resourceclaimtemplate.resource.k8s.io "{template}" not found'
                message = f'PodResourceClaim {name}: resource claim template "{template}": {told}'
                self.record(pod, "Warning", "FailedResourceClaimCreation", message)
                return  # its creation brings the pod back here
            self.write(key, Create(_claim_for(pod, name, there), key))
        if made:
            status = pod.status.extra or {}
            held = {item.get("name"): item for item in status.get("resourceClaimStatuses") or ()}
            told_now = held | {name: {"name": name, "resourceClaimName": claim} for name, claim in made.items()}
            new = replace(pod.status, extra={**status, "resourceClaimStatuses": list(told_now.values())})
            self.write(key, PatchStatus(replace(pod, status=new), pod, key))
        elif pod.spec.node_name and not _is_done(pod):
            self._reserve(key, pod)

    def _is_there(self, pod: Pod, name: str) -> bool:
        claim = self.informer.get("ResourceClaim", f"{pod.metadata.namespace}/{_recorded(pod).get(name, '')}")
        return claim is not None and _owning_pod(claim) == (pod.metadata.name, pod.metadata.uid)

    def _reserve(self, key: str, pod: Pod) -> None:
        """Of a pod that was bound past a scheduler that reserves."""
        for name in _names_of(pod):
            claim = self.informer.get("ResourceClaim", name)
            if claim is None:
                return
            status = _status(claim)
            reserved = status.get("reservedFor") or []
            is_reserved = any(item.get("uid") == pod.metadata.uid for item in reserved)
            if status.get("allocation") and not is_reserved and len(reserved) < MOST_RESERVATIONS:
                user = {"resource": "pods", "name": pod.metadata.name, "uid": pod.metadata.uid}
                new = _with_status(claim, {**status, "reservedFor": [*reserved, user]})
                self.write(key, Update(new, "status", key))

    def _reconcile_claim(self, now: Instant, key: str, claim: Unstructured) -> None:
        meta, status = claim.metadata, _status(claim)
        reserved = status.get("reservedFor") or []
        kept = [item for item in reserved if self._still_uses(now, key, claim, item)]
        protected = FINALIZER in meta.finalizers
        allocated = status.get("allocation") is not None
        if len(kept) < len(reserved):
            left = {**status, "reservedFor": kept}
            if not kept:
                left.pop("reservedFor")
                if protected and left.pop("allocation", None) is not None:
                    self._freed[meta.uid] = None
            self.write(key, Update(_with_status(claim, left), "status", key))
            return
        if protected and not reserved and (meta.uid in self._freed or meta.deletion_timestamp is not None):
            if allocated:
                left = {name: item for name, item in status.items() if name != "allocation"}
                self.write(key, Update(_with_status(claim, left), "status", key))
                return
            self._freed.pop(meta.uid, None)
            finalizers = tuple(item for item in meta.finalizers if item != FINALIZER)
            self.write(key, Update(replace(claim, metadata=replace(meta, finalizers=finalizers)), "", key))
            return
        owner = _owning_pod(claim)
        if not kept and owner is not None and meta.deletion_timestamp is None:
            pod = self.informer.get("Pod", f"{meta.namespace}/{owner[0]}")
            if pod is not None and (pod.metadata.uid != owner[1] or _is_done(pod)):
                self.write(key, Delete("ResourceClaim", meta.namespace, meta.name, meta.uid, token=key))

    def _still_uses(self, now: Instant, key: str, claim: Unstructured, user: Json) -> bool:
        if user.get("apiGroup") or user.get("resource") != "pods":
            return True  # what is no pod is not looked at
        uid = str(user.get("uid", ""))
        if uid in self._gone:
            return False
        pod = self.informer.get("Pod", f"{claim.metadata.namespace}/{user.get('name', '')}")
        if pod is not None:
            self._absent.pop((key, uid), None)
            return bool(pod.metadata.uid == uid and not _is_done(pod))
        since = self._absent.setdefault((key, uid), now)
        if now - since >= SURELY_GONE_NS:
            del self._absent[key, uid]
            return False
        self.queue.add_at(key, since + SURELY_GONE_NS)
        return True

    def failed(self, key: str, outcome: Outcome) -> bool:
        pod = self.informer.get("Pod", key.partition(":")[2]) if isinstance(outcome.effect, Create) else None
        if pod is not None:
            told = f"PodResourceClaim: create ResourceClaim: {outcome.error}"
            self.record(pod, "Warning", "FailedResourceClaimCreation", told)
        return super().failed(key, outcome)


def _claims_of(pod: Pod) -> list[Json]:
    held: list[Json] = (pod.spec.extra or {}).get("resourceClaims") or []
    return held


def _recorded(pod: Pod) -> dict[str, str]:
    """The claims that were made for a pod: its own name for one, and what it is called."""
    held = (pod.status.extra or {}).get("resourceClaimStatuses") or ()
    return {str(item.get("name")): str(item.get("resourceClaimName") or "") for item in held}


def _names_of(pod: Pod) -> Iterator[str]:
    """Keys of the claims that a pod uses, as far as it is known."""
    recorded = _recorded(pod)
    for item in _claims_of(pod):
        name = item.get("resourceClaimName") or recorded.get(str(item.get("name", "")))
        if name:
            yield f"{pod.metadata.namespace}/{name}"


def _is_done(pod: Pod) -> bool:
    """None of its containers runs, or ever will. Source: isPodDone."""
    return pod.status.phase in ("Succeeded", "Failed") or (
        pod.metadata.deletion_timestamp is not None and not pod.spec.node_name
    )


def _status(claim: Unstructured) -> Json:
    held: Json = (claim.extra or {}).get("status") or {}
    return held


def _with_status(claim: Unstructured, status: Json) -> Unstructured:
    return replace(claim, extra={**(claim.extra or {}), "status": status})


def _owning_pod(claim: Unstructured) -> tuple[str, str] | None:
    """(name, uid)."""
    owner = claim.metadata.controller()
    return (owner.name, owner.uid) if owner is not None and owner.kind == "Pod" else None


def _claim_for(pod: Pod, name: str, template: Unstructured) -> Unstructured:
    outer: Json = (template.extra or {}).get("spec") or {}
    meta = decode(ObjectMeta, outer.get("metadata") or {})
    prefix = f"{pod.metadata.name}-{name}-"
    if len(prefix) > LONGEST_BASE:  # both are shortened, in proportion
        of_pod, of_claim = (part[: len(part) * LONGEST_BASE // len(prefix)] for part in (pod.metadata.name, name))
        prefix = f"{of_pod}-{of_claim}"
    return Unstructured(
        metadata=ObjectMeta(
            namespace=pod.metadata.namespace,
            generate_name=prefix,
            labels=meta.labels,
            annotations={**meta.annotations, POD_CLAIM: name},
            owner_references=(owner_reference(pod, "v1", "Pod"),),
        ),
        extra={"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "spec": outer.get("spec") or {}},
    )
