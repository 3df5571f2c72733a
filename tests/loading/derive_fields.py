"""Derives harness/model/kubernetes_fields.txt from the Go types of the Kubernetes API.

The official Python client's models give CustomResourceDefinition, and fields that are younger than the Go types: both
without numbers. Custom resources come from their own sources.

python -m tests.loading.derive_fields API APIMACHINERY > harness/model/kubernetes_fields.txt

with git directories or clones of github.com/kubernetes/api and github.com/kubernetes/apimachinery.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version

HEAD = """\
# The fields of Kubernetes' kinds: names, types, protobuf numbers, and how server-side apply sees them. It is the one
# table of them: manifests are checked by it, as are bodies at the API server, which makes OpenAPI documents of it too.
# Source: the Go types of k8s.io/api and k8s.io/apimachinery at {source};
# the official Python client {client}; scheduler-plugins; Karpenter; the vertical
# pod autoscaler. Made by tests/loading/derive_fields.py.
# Fields of a GA kind are never taken away.
# "@ VERSION KIND .." are the kinds (KIND=MESSAGE where names differ); then a message a line: NUMBER FIELD TYPE, ..
# A field without a number has no form in protobuf here.
# Types: s string, b bool, i int32, l int64, d number, B bytes, * list of, % map from string to; Quantity, IntOrString,
# Time, MicroTime, ExtraValue (a list of strings), JSONSchemaPropsOrArray, JSONSchemaPropsOrBool and Raw (anything) have
# a JSON form of their own. A letter with ? is a pointer in Go: its zero was said by somebody, while the zero of any
# other is on the wire though nobody set it. A name with + is an embedded struct, which JSON spreads over the object.
# A line "= MESSAGE: .." says how server-side apply and `explain` see its fields: "atomic" for the whole message,
# FIELD=KEY+KEY a list of items with those keys, FIELD=set, FIELD=atomic, FIELD! required; other lists are atomic.
"""

KINDS = """\
v1 Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim
v1 Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration ValidatingWebhookConfiguration
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
apps/v1 ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet
authentication.k8s.io/v1 SelfSubjectReview TokenRequest TokenReview
authorization.k8s.io/v1 SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview LocalSubjectAccessReview
autoscaling/v1 HorizontalPodAutoscaler Scale
autoscaling/v2 HorizontalPodAutoscaler
batch/v1 CronJob Job
certificates.k8s.io/v1 CertificateSigningRequest
coordination.k8s.io/v1 Lease
discovery.k8s.io/v1 EndpointSlice
events.k8s.io/v1 Event
flowcontrol.apiserver.k8s.io/v1 FlowSchema PriorityLevelConfiguration
meta.k8s.io/v1 DeleteOptions ListMeta Status
networking.k8s.io/v1 Ingress IngressClass NetworkPolicy
node.k8s.io/v1 RuntimeClass
policy/v1 Eviction PodDisruptionBudget
rbac.authorization.k8s.io/v1 ClusterRole ClusterRoleBinding Role RoleBinding
resource.k8s.io/v1 DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice
resource.k8s.io/v1beta1 DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice
resource.k8s.io/v1beta2 DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice
scheduling.k8s.io/v1 PriorityClass
storage.k8s.io/v1 CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment
"""
"""Of the API server, and everyday ones that manifests have besides."""

FIRST = ("meta/v1", "core/v1", "authentication/v1", "resource/v1", "rbac/v1")
"""Packages whose messages have their plain names where several packages have one of that name."""

LETTERS = {"string": "s", "bool": "b", "int32": "i", "int": "i", "int64": "l", "byte": "B", "float64": "d"}
"""Of Go's types."""

OWN_FORM = {
    "resource.Quantity": "Quantity", "intstr.IntOrString": "IntOrString", "meta/v1.Time": "Time",
    "meta/v1.MicroTime": "MicroTime", "runtime.RawExtension": "Raw", "meta/v1.FieldsV1": "Raw", "types.UID": "s",
    "types.NodeName": "s",
}  # fmt: skip
"""Go types with a JSON form of their own."""

PODGROUP = """\
PodGroup: +typeMeta TypeMeta, metadata ObjectMeta, spec PodGroupSpec, status PodGroupStatus
PodGroupSpec: minMember i, minResources %Quantity, scheduleTimeoutSeconds i
PodGroupStatus: failed i, occupiedBy s, phase s, running i, scheduleStartTime Time, scheduled i, succeeded i
"""
"""Source: kubernetes-sigs/scheduler-plugins apis/scheduling/v1alpha1/types.go (08079b7; `scheduled` of older ones)."""

KARPENTER = """\
Budget: duration s, nodes s, reasons *s, schedule s
ClaimResources: requests %Quantity
Disruption: budgets *Budget, consolidateAfter s, consolidationPolicy s
MinValuesRequirement: key s, minValues l, operator s, values *s
NodeClaim: +typeMeta TypeMeta, metadata ObjectMeta, spec NodeClaimSpec, status NodeClaimStatus
NodeClaimSpec: expireAfter s, nodeClassRef NodeClassReference, requirements *MinValuesRequirement, resources ClaimResources, startupTaints *Taint, taints *Taint, terminationGracePeriod s
NodeClaimStatus: allocatable %Quantity, capacity %Quantity, conditions *Condition, imageID s, lastPodEventTime Time, nodeName s, providerID s
NodeClaimTemplate: metadata NodeClaimTemplateMeta, spec NodeClaimTemplateSpec
NodeClaimTemplateMeta: annotations %s, labels %s
NodeClaimTemplateSpec: expireAfter s, nodeClassRef NodeClassReference, requirements *MinValuesRequirement, startupTaints *Taint, taints *Taint, terminationGracePeriod s
NodeClassReference: group s, kind s, name s
NodePool: +typeMeta TypeMeta, metadata ObjectMeta, spec NodePoolSpec, status NodePoolStatus
NodePoolSpec: disruption Disruption, limits %Quantity, replicas l, template NodeClaimTemplate, weight i
NodePoolStatus: conditions *Condition, nodeClassObservedGeneration l, nodes l, resources %Quantity
"""  # noqa: E501
"""Source: kubernetes-sigs/karpenter pkg/apis/crds/karpenter.sh_{nodepools,nodeclaims}.yaml (1.14)."""

VERTICAL = """\
ContainerResourcePolicy: containerName s, controlledResources *s, controlledValues s, maxAllowed %Quantity, memoryAggregationIntervalCount l, memoryAggregationIntervalSeconds l, minAllowed %Quantity, mode s, oomBumpUpRatio Quantity, oomMinBumpUp Quantity, startupBoost StartupBoost
EvictionRequirement: changeRequirement s, resources *s
HistogramCheckpoint: bucketWeights Raw, referenceTimestamp Time, totalWeight d
PodResourcePolicy: containerPolicies *ContainerResourcePolicy
PodUpdatePolicy: evictAfterOOMSeconds l, evictionRequirements *EvictionRequirement, minReplicas i, updateMode s
RecommendedContainerResources: containerName s, lowerBound %Quantity, target %Quantity, uncappedTarget %Quantity, upperBound %Quantity
RecommendedPodResources: containerRecommendations *RecommendedContainerResources
RecommenderSelector: name s
StartupBoost: cpu StartupBoostCPU
StartupBoostCPU: durationSeconds l, factor l, quantity Quantity, type s
VerticalPodAutoscaler: +typeMeta TypeMeta, metadata ObjectMeta, spec VerticalPodAutoscalerSpec, status VerticalPodAutoscalerStatus
VerticalPodAutoscalerCheckpoint: +typeMeta TypeMeta, metadata ObjectMeta, spec VerticalPodAutoscalerCheckpointSpec, status VerticalPodAutoscalerCheckpointStatus
VerticalPodAutoscalerCheckpointSpec: containerName s, vpaObjectName s
VerticalPodAutoscalerCheckpointStatus: cpuHistogram HistogramCheckpoint, firstSampleStart Time, lastSampleStart Time, lastUpdateTime Time, memoryHistogram HistogramCheckpoint, totalSamplesCount l, version s
VerticalPodAutoscalerSpec: recommenders *RecommenderSelector, resourcePolicy PodResourcePolicy, startupBoost StartupBoost, targetRef autoscaling/v1.CrossVersionObjectReference, updatePolicy PodUpdatePolicy
VerticalPodAutoscalerStatus: conditions *Condition, observedGeneration l, recommendation RecommendedPodResources
"""  # noqa: E501
"""Source: kubernetes/autoscaler vertical-pod-autoscaler/deploy/vpa-v1-crd-gen.yaml (1.8)."""

SCHEMA_OR = {"items": "JSONSchemaPropsOrArray"} | dict.fromkeys(
    ("additionalItems", "additionalProperties"), "JSONSchemaPropsOrBool"
)
"""Fields of JSONSchemaProps that the client's models have as any object."""

CUSTOM = {
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
    "apiregistration.k8s.io/v1": "APIService",
    "scheduling.x-k8s.io/v1alpha1": "PodGroup",
    "karpenter.sh/v1": "NodeClaim NodePool",
    "autoscaling.k8s.io/v1": "VerticalPodAutoscaler VerticalPodAutoscalerCheckpoint",
}

MARK = re.compile(r"//\s*\+(listType|listMapKey|mapType|structType|patchMergeKey|optional|required|default)\b=?(.*)")
FIELD = re.compile(r"^\s+(?:([A-Z]\w*)\s+)?([^\s/]+)\s+`([^`]*)`")
TYPE = re.compile(r"^type ([A-Z]\w*) (?:= )?(\S+)( \{)?")


@dataclass(frozen=True)
class GoField:
    """`type`: without its pointer, with its list or map prefix. `json`: its name there, empty where it is embedded."""

    json: str
    number: str
    protobuf: str
    type: str
    pointer: bool
    required: bool
    marks: dict[str, list[str]]


@dataclass
class GoPackage:
    """The exported types of a package: structs by their fields, others by what they are. Types are qualified."""

    name: str
    structs: dict[str, list[GoField]]
    aliases: dict[str, str]
    atomic: set[str]


def read_package(name: str, text: str) -> GoPackage:
    imported = re.findall(r'^\t(\w*) ?"([\w./]+)"', text, re.M)
    imports = {alias or path.rpartition("/")[2]: path for alias, path in imported}
    out = GoPackage(name, {}, {}, set())
    marks: dict[str, list[str]] = {}
    struct = ""
    for line in text.splitlines():
        if found := MARK.search(line):
            marks.setdefault(found[1], []).append(found[2].strip())
        elif found := TYPE.match(line):
            if found[2] == "struct":
                struct = found[1]
                out.structs[struct] = []
                if "atomic" in marks.get("structType", []) + marks.get("mapType", []):
                    out.atomic.add(struct)
            else:
                out.aliases[found[1]] = qualified(found[2], name, imports)
            marks = {}
        elif line == "}":
            struct, marks = "", {}
        elif struct and (found := FIELD.match(line)):
            out.structs[struct].append(read_field(found[2], found[3], marks, name, imports))
            marks = {}
        elif line.strip() and not line.strip().startswith("//"):
            marks = {}
    return out


def read_field(kind: str, tags: str, marks: dict[str, list[str]], package: str, imports: dict[str, str]) -> GoField:
    of_tags = dict(re.findall(r'(\w+):"([^"]*)"', tags))
    json, *options = of_tags.get("json", "").split(",")
    protobuf = of_tags.get("protobuf", "").split(",")
    number = protobuf[1] if len(protobuf) > 1 else ""
    name = next((part[5:] for part in protobuf if part.startswith("name=")), "") or lower_first(kind)
    optional = "omitempty" in options or "omitzero" in options or "optional" in marks
    plain = qualified(kind.lstrip("*"), package, imports)
    embedded = not json
    return GoField(json, number, name, plain, kind.startswith("*"), not optional and not embedded, marks)


def lower_first(kind: str) -> str:
    name = kind.rpartition(".")[2]
    return name[:1].lower() + name[1:]


def qualified(kind: str, package: str, imports: dict[str, str]) -> str:
    """As *core/v1.Container, %resource.Quantity or string."""
    if kind.startswith("[]"):
        rest = kind[2:].lstrip("*")
        return "B" if rest == "byte" else f"*{qualified(rest, package, imports)}"
    if kind.startswith("map["):
        return f"%{qualified(kind.partition(']')[2], package, imports)}"
    alias, dot, name = kind.rpartition(".")
    if not dot:
        return kind if kind in LETTERS else f"{package}.{kind}"
    path = imports.get(alias, alias)
    if path.startswith("k8s.io/api/"):
        return f"{path.removeprefix('k8s.io/api/')}.{name}"
    return f"meta/v1.{name}" if path.endswith("apis/meta/v1") else f"{path.rpartition('/')[2]}.{name}"


class GoTypes:
    """The packages of two repositories, read when they are asked for."""

    def __init__(self, api: str, machinery: str) -> None:
        self._api, self._machinery = api, machinery
        self._packages: dict[str, GoPackage] = {}

    def package(self, name: str) -> GoPackage:
        if name not in self._packages:
            meta = name == "meta/v1"
            text = show(self._machinery, "pkg/apis/meta/v1/types.go") if meta else show(self._api, f"{name}/types.go")
            self._packages[name] = read_package(name, text)
        return self._packages[name]

    def resolved(self, kind: str) -> str:
        """A letter, a type with a form of its own or a qualified struct, with the prefix of a list or map."""
        if kind[0] in "*%":
            return kind[0] + self.resolved(kind[1:])
        if kind in LETTERS or kind in LETTERS.values():
            return LETTERS.get(kind, kind)
        if kind in OWN_FORM:
            return OWN_FORM[kind]
        package, _, name = kind.rpartition(".")
        aliases = self.package(package).aliases
        if name == "ExtraValue":
            return name  # a list in JSON, a message with a list in protobuf
        return self.resolved(aliases[name]) if name in aliases else kind

    def fields(self, kind: str) -> list[tuple[GoField, str]]:
        """With the resolved type of each."""
        package, _, name = kind.rpartition(".")
        found = self.package(package).structs[name]
        return [(one, self.resolved(one.type)) for one in found]

    def is_atomic(self, kind: str) -> bool:
        package, _, name = kind.rpartition(".")
        return name in self.package(package).atomic


def show(repository: str, path: str) -> str:
    return subprocess.run(
        ["git", f"--git-dir={repository}", "show", f"HEAD:{path}"], check=True, capture_output=True, text=True
    ).stdout


def package_of(api_version: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"{group.removesuffix('.k8s.io').partition('.')[0] or 'core'}/{version}"


def names_of(found: set[str]) -> dict[str, str]:
    """Qualified type -> the name of its message: plain, but for who shares it."""
    sharing: dict[str, list[str]] = {}
    for kind in found:
        sharing.setdefault(kind.rpartition(".")[2], []).append(kind)
    out = {}
    for plain, kinds in sharing.items():
        first = next((kind for package in FIRST for kind in kinds if kind == f"{package}.{plain}"), None)
        for kind in kinds:
            out[kind] = plain if len(kinds) == 1 or kind == first else kind
    return out


def go_rows(types: GoTypes) -> tuple[dict[str, str], dict[str, str], dict[tuple[str, str], str]]:
    """(message -> its fields, message -> its marks, (apiVersion, kind) -> message)."""
    roots: dict[tuple[str, str], str] = {}
    for line in KINDS.splitlines():
        api_version, *kinds = line.split()
        roots |= {(api_version, kind): f"{package_of(api_version)}.{kind}" for kind in kinds}
    reached: set[str] = set()
    todo = list(roots.values())
    while todo:
        kind = todo.pop()
        if kind not in reached:
            reached.add(kind)
            todo += [bare for _, of in types.fields(kind) if "." in (bare := of.lstrip("*%"))]
    names = names_of(reached)
    rows = {names[kind]: ", ".join(row(*one, names) for one in types.fields(kind)) for kind in reached}
    marks = {names[kind]: text for kind in reached if (text := marks_of(types, kind))}
    return rows, marks, {key: names[kind] for key, kind in roots.items()}


def row(one: GoField, kind: str, names: dict[str, str]) -> str:
    prefix = kind[0] if kind[0] in "*%" else ""
    bare = kind.lstrip("*%")
    pointer = "?" if one.pointer and not prefix and len(bare) == 1 else ""
    return f"{one.number} {one.json or f'+{one.protobuf}'} {prefix}{names.get(bare, bare)}{pointer}".strip()


def marks_of(types: GoTypes, kind: str) -> str:
    out = ["atomic"] if types.is_atomic(kind) else []
    required = []
    for one, of in types.fields(kind):
        if "map" in one.marks.get("listType", ()):
            out.append(f"{one.json}={'+'.join(one.marks['listMapKey'])}")
        elif "set" in one.marks.get("listType", ()):
            out.append(f"{one.json}=set")
        elif of.startswith("*") and "listType" not in one.marks and "patchMergeKey" in one.marks:
            out.append(f"{one.json}={one.marks['patchMergeKey'][0]}")
        elif of.startswith("%") and "atomic" in one.marks.get("mapType", ()):
            out.append(f"{one.json}=atomic")
        if one.required:
            required.append(f"{one.json}!")
    return ", ".join(out + required)


def client_rows(root: str) -> dict[str, str]:
    """A kind's messages as the official client's models have them: names and types, no numbers."""
    out: dict[str, str] = {}
    todo = [root]
    while todo:
        model = todo.pop()
        plain = message_of(model)
        if plain not in out and plain != "ObjectMeta":
            fields = client_fields(model)
            out[plain] = ", ".join(f"{name} {prefix}{message_of(kind)}" for name, (prefix, kind) in fields.items())
            todo += [kind for _, kind in fields.values() if kind.startswith(("V", "Api"))]
    return out


def client_fields(model: str) -> dict[str, tuple[str, str]]:
    """Name in JSON -> (prefix of a list or map, letter or name of a model)."""
    letters = {"str": "s", "int": "l", "bool": "b", "float": "d", "bytes": "B", "object": "Raw", "datetime": "Time"}
    kind = getattr(importlib.import_module("kubernetes.client"), model)
    out = {}
    for attribute, text in kind.openapi_types.items():
        name = kind.attribute_map[attribute]
        prefix = "%" if text.startswith("Dict[") else "*" if text.startswith("List[") else ""
        bare = text.replace("Dict[str, ", "").replace("List[", "").rstrip("]")
        of = SCHEMA_OR.get(name) if model == "V1JSONSchemaProps" else None
        out[name] = prefix, of or letters.get(bare, bare)
    return out


def add_younger_fields(rows: dict[str, str]) -> None:
    """What the client's model of a message has and the message has not."""
    client = importlib.import_module("kubernetes.client")
    for message in [name for name in rows if hasattr(client, model_of(name))]:
        known = {text.split()[-2] for text in rows[message].split(", ") if text}
        if any(name.startswith("+") and name != "+typeMeta" for name in known):
            continue  # the fields of embedded structs are in other rows
        known |= {"apiVersion", "kind"} if "+typeMeta" in known else set()
        for name, (prefix, kind) in client_fields(model_of(message)).items():
            if name not in known:
                rows[message] = ", ".join(filter(None, (rows[message], f"{name} {prefix}{message_of(kind)}")))
                if kind.startswith("V1"):
                    rows |= {key: row for key, row in client_rows(kind).items() if key not in rows}


def model_of(message: str) -> str:
    """Of the client: V1beta1DeviceRequest for resource/v1beta1.DeviceRequest, V1Pod for Pod."""
    beta = re.match(r"resource/(v1beta[0-9])\.", message)
    return f"{beta[1].capitalize()}{message[beta.end() :]}" if beta else f"V1{message}"


def message_of(model: str) -> str:
    beta = re.match(r"V1beta[0-9](?=[A-Z])", model)
    if beta:
        return f"resource/{beta[0].lower()}.{model[beta.end() :]}"
    if model.startswith("ApiregistrationV1"):
        return f"apiregistration/v1.{model.removeprefix('ApiregistrationV1')}"
    return re.sub(r"^(Apiextensions)?V1(?=[A-Z])", "", model)


def table(api: str, machinery: str) -> str:
    rows, marks, roots = go_rows(GoTypes(api, machinery))
    add_younger_fields(rows)
    for root in ("V1CustomResourceDefinition", "V1APIService"):
        rows = client_rows(root) | rows
    for line in (PODGROUP + KARPENTER + VERTICAL).splitlines():
        name, _, fields = line.partition(": ")
        rows[name] = fields
    kinds: dict[str, list[str]] = {}
    for (api_version, kind), message in sorted(roots.items()):
        kinds.setdefault(api_version, []).append(kind if kind == message else f"{kind}={message}")
    for api_version, text in CUSTOM.items():
        kinds[api_version] = text.split()
    source = " and ".join(describe(repository) for repository in (api, machinery))
    head = HEAD.format(source=source, client=version("kubernetes"))
    head += "".join(f"@ {api_version} {' '.join(names)}\n" for api_version, names in sorted(kinds.items()))
    body = "".join(f"{name}: {text}".rstrip() + "\n" for name, text in sorted(rows.items()))
    return head + body + "".join(f"= {name}: {text}\n" for name, text in sorted(marks.items()))


def describe(repository: str) -> str:
    shown = ["git", f"--git-dir={repository}", "log", "-1", "--format=%h (%cs)", "--abbrev=9", "HEAD"]
    return subprocess.run(shown, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.stdout.write(table(*sys.argv[1:]))
