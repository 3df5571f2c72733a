"""resource.k8s.io in its beta versions: the same objects, whose devices and requests v1beta1 shapes otherwise.

v1beta2 has v1's shape. In v1beta1 the attributes of a device stand under `basic`, and the fields of a request that asks
for exactly one class stand in the request itself.
Source: staging/src/k8s.io/api/resource/{v1beta1,v1beta2,v1}/types.go; pkg/apis/resource/v1beta1/conversion.go (1.34).
"""

from __future__ import annotations

from collections.abc import Callable

from harness.model.wire import Json

GROUP = "resource.k8s.io"

_OF_REQUEST = ("name", "firstAvailable", "exactly")
"""Fields of a v1 request; those of `exactly` stand beside them in v1beta1."""


def versioned(version: str) -> Callable[[Json], Json]:
    """The same shape under another version's name."""
    api_version = f"{GROUP}/{version}"
    return lambda obj: {**obj, "apiVersion": api_version}


def to_beta1(obj: Json) -> Json:
    return _changed({**obj, "apiVersion": f"{GROUP}/v1beta1"}, _request_to_beta1, _device_to_beta1)


def from_beta1(obj: Json) -> Json:
    return _changed({**obj, "apiVersion": f"{GROUP}/v1"}, _request_from_beta1, _device_from_beta1)


def _changed(obj: Json, request: Callable[[Json], Json], device: Callable[[Json], Json]) -> Json:
    """With the requests of a claim or of a template's claim, and the devices of a slice, changed."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return obj
    match obj.get("kind"):
        case "ResourceClaim":
            return {**obj, "spec": _requests(spec, request)}
        case "ResourceClaimTemplate" if isinstance(spec.get("spec"), dict):
            return {**obj, "spec": {**spec, "spec": _requests(spec["spec"], request)}}
        case "ResourceSlice" if isinstance(spec.get("devices"), list):
            return {**obj, "spec": {**spec, "devices": [device(item) for item in spec["devices"]]}}
    return obj


def _requests(spec: Json, change: Callable[[Json], Json]) -> Json:
    devices = spec.get("devices")
    if not isinstance(devices, dict) or not isinstance(devices.get("requests"), list):
        return spec
    return {**spec, "devices": {**devices, "requests": [change(item) for item in devices["requests"]]}}


def _request_to_beta1(request: Json) -> Json:
    rest = {name: value for name, value in request.items() if name != "exactly"}
    return {**rest, **(request.get("exactly") or {})}


def _request_from_beta1(request: Json) -> Json:
    own = {name: value for name, value in request.items() if name in _OF_REQUEST}
    exactly = {name: value for name, value in request.items() if name not in _OF_REQUEST}
    return {**own, "exactly": exactly} if exactly else own


def _device_to_beta1(device: Json) -> Json:
    basic = {name: value for name, value in device.items() if name != "name"}
    return {**({"name": device["name"]} if "name" in device else {}), "basic": basic}


def _device_from_beta1(device: Json) -> Json:
    return {**{name: value for name, value in device.items() if name != "basic"}, **(device.get("basic") or {})}
