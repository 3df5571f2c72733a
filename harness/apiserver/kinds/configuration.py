"""ConfigMap, Secret, ServiceAccount. Source: pkg/apis/core/validation, pkg/apis/core/v1/defaults.go."""

from __future__ import annotations

import base64
import json
from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.fields import untyped
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import forbidden, immutable, required, too_long, wrong
from harness.model.core import ConfigMap
from harness.model.objects import KINDS, Unstructured
from harness.model.status import Cause
from harness.model.wire import Json

CONFIG_LIMIT = 1024 * 1024
"""Bytes of a ConfigMap's or Secret's data. Source: core/v1 MaxSecretSize."""


def _config_map_problems(new: ConfigMap, old: ConfigMap | None) -> list[Cause]:
    found: list[Cause] = []
    extra = new.extra or {}
    binary = extra.get("binaryData") or {}
    size = 0
    for field, data in (("data", new.data), ("binaryData", binary)):
        for key, value in data.items():
            size += len(str(value))
            if why := names.config_key_problem(key):
                found.append(wrong(f"{field}[{key}]", key, why))
    both = sorted(set(new.data) & set(binary))
    found += [wrong(f"data[{key}]", key, "duplicate of key present in binaryData") for key in both]
    if size > CONFIG_LIMIT:
        found.append(too_long("", CONFIG_LIMIT))
    if old is not None and (old.extra or {}).get("immutable"):
        if not extra.get("immutable"):
            found.append(forbidden("immutable", "field is immutable when `immutable` is set"))
        if new.data != old.data:
            found.append(forbidden("data", "field is immutable when `immutable` is set"))
        if binary != ((old.extra or {}).get("binaryData") or {}):
            found.append(forbidden("binaryData", "field is immutable when `immutable` is set"))
    return found


def _config_map_cells(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), moment.age(created(obj))]


def _secret_fields(extra: Json) -> Json:
    """stringData is for writing only: it becomes data."""
    out = {**extra, "type": extra.get("type") or "Opaque"}
    text = out.pop("stringData", None)
    if isinstance(text, dict) and text:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
        out["data"] = {**(out.get("data") or {}), **encoded}
    return out


def _default_secret(obj: Unstructured) -> Unstructured:
    before = obj.extra or {}
    after = _secret_fields(before)
    return obj if after == before else replaced(obj, extra=after)


_KEYS_OF_SECRETS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
"""Keys that a Secret of a type must have."""


def _typed_problems(new: Unstructured) -> list[Cause]:
    """What a Secret of a type lacks. Source: pkg/apis/core/validation ValidateSecret."""
    extra = new.extra or {}
    kind, data = extra.get("type") or "Opaque", extra.get("data") or {}
    found = [required(f"data[{key}]") for key in _KEYS_OF_SECRETS.get(kind, ()) if key not in data]
    written = _KEYS_OF_SECRETS.get(kind, ()) if kind.startswith("kubernetes.io/docker") else ()
    found += [
        wrong(f"data[{key}]", "<secret contents redacted>", "invalid character in JSON")
        for key in written
        if key in data and not _is_json(data[key])
    ]
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        found += [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/service-account-token":
        name = new.metadata.annotations.get("kubernetes.io/service-account.name")
        if not name:
            found.append(required("metadata.annotations[kubernetes.io/service-account.name]"))
    return found


def _is_json(text: Any) -> bool:
    try:
        json.loads(base64.b64decode(text))
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _secret_problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    extra = new.extra or {}
    found = [
        wrong(f"data[{key}]", key, why) for key in extra.get("data") or {} if (why := names.config_key_problem(key))
    ]
    found += _typed_problems(new)
    if old is not None:
        was = old.extra or {}
        if (extra.get("type") or "Opaque") != (was.get("type") or "Opaque"):
            found.append(immutable("type", extra.get("type")))
        if was.get("immutable") and extra.get("data") != was.get("data"):
            found.append(forbidden("data", "field is immutable when `immutable` is set"))
    return found


def _secret_cells(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), obj.get("type") or "Opaque", len(obj.get("data") or {}), moment.age(created(obj))]


def _service_account_cells(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), len(obj.get("secrets") or []), moment.age(created(obj))]


def _component_cells(obj: Json, moment: Moment) -> list[Any]:
    held: Json = next((item for item in obj.get("conditions") or [] if item.get("type") == "Healthy"), {})
    status = {"True": "Healthy", "False": "Unhealthy"}.get(held.get("status", ""), "Unknown")
    return [name_of(obj), status, held.get("message", ""), held.get("error", "")]


RULES = (
    KindRules(
        kind=KINDS["ComponentStatus"],
        deprecated="v1 ComponentStatus is deprecated in v1.19+",
        counted=False,
        read_only="statuses of components are found out when somebody asks",
        table=Table(("Name", "Status", "Message", "Error"), _component_cells),
    ),
    KindRules(
        kind=KINDS["ConfigMap"],
        validate=_config_map_problems,
        quota_name="configmaps",
        table=Table(("Name", "Data", "Age"), _config_map_cells),
    ),
    KindRules(
        kind=KINDS["Secret"],
        defaults=_default_secret,
        validate=_secret_problems,
        quota_name="secrets",
        table=Table(("Name", "Type", "Data", "Age"), _secret_cells),
        fields={"type": untyped("type")},
    ),
    KindRules(
        kind=KINDS["ServiceAccount"],
        returned_when_deleted=True,
        table=Table(("Name", "Secrets", "Age"), _service_account_cells),
        merge_keys={"secrets": "name"},
        subresources=("token",),
    ),
)
