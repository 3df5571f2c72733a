"""Which ConfigMaps and Secrets a pod names, in the variables of its containers and in the volumes that they mount.

Source: pkg/kubelet/kubelet_pods.go makeEnvironmentVariables, pkg/volume/configmap, pkg/volume/secret and
pkg/volume/projected; a volume that no container mounts is left alone (volumemanager/populator processPodVolumes, 1.32).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from harness.model.core import ConfigMap, Container, Pod
from harness.model.meta import ApiObject

REFERRED = ("ConfigMap", "Secret")


class Reference(msgspec.Struct, frozen=True, gc=False):
    """`keys`: those that the object must have; without any it must only be there. `optional`: nor that."""

    kind: str
    name: str
    keys: tuple[str, ...] = ()
    optional: bool = False


class MountedVolume(msgspec.Struct, frozen=True, gc=False):
    name: str
    references: tuple[Reference, ...]


def variables_of(container: Container) -> tuple[Reference, ...]:
    """In the order in which the kubelet looks them up: envFrom, then env."""
    extra = container.extra
    if not extra:
        return ()
    found: list[Reference] = []
    for source in extra.get("envFrom") or ():
        for kind, part in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            named = source.get(part)
            if named is not None:
                found.append(Reference(kind, _text(named, "name"), (), bool(named.get("optional"))))
    for item in extra.get("env") or ():
        value = item.get("valueFrom") or {}
        for kind, part in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            named = value.get(part)
            if named is not None:
                found.append(Reference(kind, _text(named, "name"), (_text(named, "key"),), bool(named.get("optional"))))
    return tuple(found)


def volumes_of(pod: Pod) -> tuple[MountedVolume, ...]:
    """Those that hold ConfigMaps or Secrets, and that a container mounts."""
    volumes = (pod.spec.extra or {}).get("volumes")
    if not volumes:
        return ()
    mounted = {
        mount.get("name")
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for mount in (container.extra or {}).get("volumeMounts") or ()
    }
    found: list[MountedVolume] = []
    for volume in volumes:
        references = tuple(_held_by(volume)) if volume.get("name") in mounted else ()
        if references:
            found.append(MountedVolume(volume["name"], references))
    return tuple(found)


def _held_by(volume: Mapping[str, Any]) -> Iterator[Reference]:
    parts = (volume.get("projected") or {}).get("sources") or ()
    for source, projected in ((volume, False), *((part, True) for part in parts)):
        for kind, part in (("ConfigMap", "configMap"), ("Secret", "secret")):
            named = source.get(part)
            if named is not None:
                name = _text(named, "secretName" if kind == "Secret" and not projected else "name")
                keys = tuple(_text(item, "key") for item in named.get("items") or ())
                yield Reference(kind, name, keys, bool(named.get("optional")))


def referred_by(pod: Pod) -> set[tuple[str, str]]:
    """(kind, namespace/name) of all."""
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    references = [
        *(reference for container in containers for reference in variables_of(container)),
        *(reference for volume in volumes_of(pod) for reference in volume.references),
    ]
    return {(reference.kind, f"{pod.metadata.namespace}/{reference.name}") for reference in references}


def variable_problem(reference: Reference, namespace: str, held: ApiObject | None) -> str:
    """Why a container cannot have its variables; empty where it can. `held`: what is referred to, if it is there."""
    if held is None:
        return "" if reference.optional else _not_found(reference)
    missing = next((key for key in reference.keys if key not in _data(held)), None)
    if missing is None or reference.optional:
        return ""
    return f"couldn't find key {missing} in {reference.kind} {namespace}/{reference.name}"


def volume_problem(reference: Reference, held: ApiObject | None) -> str:
    """Why a volume cannot be set up."""
    if held is None:
        return "" if reference.optional else _not_found(reference)
    there = {*_data(held), *((held.extra or {}).get("binaryData") or ())}
    missing = next((key for key in reference.keys if key not in there), None)
    if missing is None or reference.optional:
        return ""
    what = "config" if reference.kind == "ConfigMap" else "secret"
    return f"references non-existent {what} key: {missing}"


def _data(held: ApiObject) -> Mapping[str, Any]:
    return held.data if type(held) is ConfigMap else (held.extra or {}).get("data") or {}


def _not_found(reference: Reference) -> str:
    return f'{reference.kind.lower()} "{reference.name}" not found'


def _text(named: Mapping[str, Any], field: str) -> str:
    return str(named.get(field) or "")
