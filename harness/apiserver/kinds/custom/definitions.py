"""CustomResourceDefinitions: what is wrong with one, its defaults, and the kind that it defines.

Source: apiextensions-apiserver pkg/apis/apiextensions/{v1/defaults.go,validation/validation.go}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.apiserver.kinds.custom.columns import parsed, table
from harness.apiserver.kinds.custom.structural import schema_problems
from harness.apiserver.kinds.rules import KindRules, OtherVersion, ScalePaths
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import immutable, required, unsupported, wrong
from harness.model.objects import Kind, Unstructured
from harness.model.status import Cause
from harness.model.wire import Json


def spec_of(obj: Unstructured) -> Json:
    spec = (obj.extra or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def default(obj: Unstructured) -> Unstructured:
    extra = dict(obj.extra or {})
    spec = dict(spec_of(obj))
    given = spec.get("names")
    if isinstance(given, dict) and isinstance(given.get("kind"), str):
        kind = given["kind"]
        spec["names"] = {"singular": kind.lower(), "listKind": f"{kind}List", **given}
    spec.setdefault("conversion", {"strategy": "None"})
    extra["spec"] = spec
    return obj if extra == obj.extra else replaced(obj, extra=extra)


def problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    spec = spec_of(new)
    found: list[Cause] = []
    group, said = spec.get("group"), spec.get("names") or {}
    plural = said.get("plural")
    if not group:
        found.append(required("spec.group"))
    elif len(str(group).split(".")) < 2:
        found.append(wrong("spec.group", group, "should be a domain with at least one dot"))
    found += [required(f"spec.names.{field}") for field in ("plural", "kind") if not said.get(field)]
    if plural and (why := names.label_1035_problem(str(plural))):
        found.append(wrong("spec.names.plural", plural, why))
    if group and plural and new.metadata.name != f"{plural}.{group}":
        found.append(wrong("metadata.name", new.metadata.name, 'must be spec.names.plural+"."+spec.group'))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        if spec.get("scope"):
            found.append(unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced")))
        else:
            found.append(required("spec.scope"))
    if (spec.get("conversion") or {}).get("strategy") != "None":
        told = (spec.get("conversion") or {}).get("strategy")
        found.append(unsupported("spec.conversion.strategy", told, ("None",)))
    found += _version_problems(spec.get("versions"))
    if old is not None:
        before = spec_of(old)
        for path in (("group",), ("names", "plural"), ("names", "kind"), ("scope",)):
            was: Any = before
            now: Any = spec
            for step in path:
                was, now = (was or {}).get(step), (now or {}).get(step)
            if was != now:
                found.append(immutable(f"spec.{'.'.join(path)}", now))
    return found


def _version_problems(versions: Any) -> list[Cause]:
    if not isinstance(versions, list) or not versions:
        return [wrong("spec.versions", versions, "must have exactly one version marked as storage version")]
    found: list[Cause] = []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        found.append(wrong("spec.versions", "", "must have exactly one version marked as storage version"))
    seen: set[str] = set()
    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        name = version.get("name")
        if not name:
            found.append(required(f"{at}.name"))
        elif why := names.label_1035_problem(str(name)):
            found.append(wrong(f"{at}.name", name, why))
        elif name in seen:
            found.append(wrong("spec.versions", name, "must contain unique version names"))
        seen.add(str(name))
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            found.append(required(f"{at}.schema.openAPIV3Schema", "schemas are required"))
        else:
            found += schema_problems(schema, f"{at}.schema.openAPIV3Schema")
        for place, column in enumerate(version.get("additionalPrinterColumns") or ()):
            path = str(column.get("jsonPath", ""))
            if not column.get("name"):
                found.append(required(f"{at}.additionalPrinterColumns[{place}].name"))
            if parsed(path) is None or not path:
                where = f"{at}.additionalPrinterColumns[{place}].jsonPath"
                found.append(wrong(where, path, "must be a simple json path"))
    return found


# -- the kind ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Defined:
    """What a definition makes servable."""

    rules: KindRules

    @property
    def kind(self) -> Kind:
        return self.rules.kind


def defined(obj: Unstructured) -> Defined:
    """The kind of a valid definition. Inside it goes by `Kind.group`: two groups may have kinds of one name."""
    spec = spec_of(obj)
    said, group = spec["names"], spec["group"]
    versions = [version for version in spec["versions"] if version.get("served", True)] or spec["versions"]
    first = versions[0]
    parts = first.get("subresources") or {}
    scale = parts.get("scale")
    key = f"{said['kind']}.{group}"
    kind = Kind(
        key,
        f"{group}/{first['name']}",
        said["plural"],
        Unstructured,
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(said.get("shortNames") or ()),
        categories=tuple(said.get("categories") or ()),
        status="status" in parts,
        scale=scale is not None,
        collected=False,
        wire_name=said["kind"],
        wire_singular=said.get("singular") or said["kind"].lower(),
    )
    rules = KindRules(
        kind=kind,
        counts_generation=True,
        table=table(first.get("additionalPrinterColumns") or []),
        versions=tuple(_other(f"{group}/{version['name']}") for version in versions[1:]),
        schemas={f"{group}/{version['name']}": version["schema"]["openAPIV3Schema"] for version in versions},
        scale_paths=None
        if scale is None
        else ScalePaths(
            _steps(scale.get("specReplicasPath", ".spec.replicas")),
            _steps(scale.get("statusReplicasPath", ".status.replicas")),
            _steps(scale.get("labelSelectorPath", "")),
        ),
    )
    return Defined(rules)


def _steps(path: str) -> tuple[str, ...]:
    return tuple(step for step in path.split(".") if step)


def _other(api_version: str) -> OtherVersion:
    """Conversion strategy None: versions differ in name alone."""
    return OtherVersion(
        api_version,
        lambda data: {**data, "apiVersion": api_version},
        lambda data: data,
    )
