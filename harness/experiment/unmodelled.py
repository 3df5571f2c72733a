"""Fields of Kubernetes' schema that bear on what is simulated and are not modelled: refused, or told.

Every field of the schema that no type of the model has stands in one of REFUSED, TOLD and WITHOUT_EFFECT (a test
compares them with the schema and the types), so that none is left out without a decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.schema import Visit

_DRA = "dynamic resource allocation is not modelled, so the pod could not be placed"


@dataclass(frozen=True, slots=True)
class Rule:
    """`why`: what would come out wrong. `harmless`: values that say what is simulated anyway."""

    why: str
    harmless: tuple[Any, ...] = ()


_RESOURCES = Rule("metrics-server measures cpu and memory, so the autoscaler would have no metric", ("cpu", "memory"))

REFUSED: Mapping[str, Rule] = {
    "ResourceMetricSource.name": _RESOURCES,
    "ContainerResourceMetricSource.name": _RESOURCES,
    "JobSpec.scheduling": Rule("the job's pods would be scheduled one by one"),
    "PodSpec.resourceClaims": Rule(_DRA),
    "ResourceRequirements.claims": Rule(_DRA),
    "PodSpec.resources": Rule("resources of a whole pod are not modelled; those of its containers count"),
    "PodSpec.schedulingGroup": Rule("pods would be scheduled one by one", ({},)),
    "PodSpec.evictionResponders": Rule("evictions would ask nobody"),
    "Container.restartPolicyRules": Rule("the container would restart by its pod's policy"),
    "NodeSpec.podPreemptionPolicy": Rule("preemption would go by the pods' own policy"),
}

TOLD: Mapping[str, Rule] = {
    "PodSpec.readinessGates": Rule("pods are ready when their containers are", ([],)),
    "PodSpec.hostNetwork": Rule("its container ports are not taken for host ports", (False,)),
    "PodSpec.runtimeClassName": Rule("its overhead and nodes count where the files have the RuntimeClass", ("",)),
    "PodSpec.os": Rule("nodes are not told apart by their system", ({"name": "linux"},)),
    "Container.lifecycle": Rule("of its hooks, sleeps and simple commands take their time, others none", ({},)),
    "Probe.terminationGracePeriodSeconds": Rule("the pod's own grace period holds"),
    "ServiceSpec.externalTrafficPolicy": Rule("requests go to any ready pod", ("Cluster", "")),
    "ServiceSpec.internalTrafficPolicy": Rule("requests go to any ready pod", ("Cluster", "")),
    "ServiceSpec.sessionAffinity": Rule("requests go to any ready pod", ("None", "")),
    "ServiceSpec.trafficDistribution": Rule("requests go to any ready pod"),
    "ServiceSpec.externalName": Rule("nothing outside of the cluster answers", ("",)),
    "PersistentVolumeClaimSpec.dataSource": Rule("the volume is made without waiting for its source"),
    "PersistentVolumeClaimSpec.dataSourceRef": Rule("the volume is made without waiting for its source"),
    "PodSpec.ephemeralContainers": Rule("they take nothing and do nothing", ([],)),
}

UNINTERPRETED: Mapping[str, str] = {
    "NetworkPolicy": "no traffic is held back",
    "Ingress": "it routes the requests of clients that name it alone",
    "IngressClass": "Ingresses are answered alike, whatever their class",
}
"""Kinds that are kept and bear on what is simulated."""

WITHOUT_EFFECT = frozenset(
    {
        "ObjectMeta.managedFields",
        "ObjectMeta.selfLink",
        "NodeSpec.configSource",
        "NodeSpec.externalID",
        "NodeSpec.podCIDRs",
        "NodeStatus.config",
        "NodeStatus.daemonEndpoints",
        "NodeStatus.declaredFeatures",
        "NodeStatus.features",
        "NodeStatus.nodeInfo",
        "NodeStatus.runtimeHandlers",
        "PodSpec.automountServiceAccountToken",
        "PodSpec.dnsConfig",
        "PodSpec.dnsPolicy",
        "PodSpec.enableServiceLinks",
        "PodSpec.hostAliases",
        "PodSpec.hostIPC",
        "PodSpec.hostPID",
        "PodSpec.hostUsers",
        "PodSpec.hostname",
        "PodSpec.hostnameOverride",
        "PodSpec.imagePullSecrets",
        "PodSpec.securityContext",
        "PodSpec.serviceAccount",
        "PodSpec.setHostnameAsFQDN",
        "PodSpec.shareProcessNamespace",
        "PodSpec.subdomain",
        "PodSpec.volumes",
        "Container.args",
        "Container.command",
        "Container.env",
        "Container.envFrom",
        "Container.resizePolicy",
        "Container.securityContext",
        "Container.stdin",
        "Container.stdinOnce",
        "Container.terminationMessagePath",
        "Container.terminationMessagePolicy",
        "Container.tty",
        "Container.volumeDevices",
        "Container.volumeMounts",
        "Container.workingDir",
        "Probe.exec",
        "Probe.grpc",
        "Probe.httpGet",
        "Probe.tcpSocket",
        "PodCondition.lastProbeTime",
        "JobCondition.lastProbeTime",
        "ContainerStateTerminated.containerID",
        "ContainerStateTerminated.message",
        "ContainerStateTerminated.signal",
        "ServiceSpec.allocateLoadBalancerNodePorts",
        "ServiceSpec.externalIPs",
        "ServiceSpec.healthCheckNodePort",
        "ServiceSpec.ipFamilies",
        "ServiceSpec.ipFamilyPolicy",
        "ServiceSpec.loadBalancerClass",
        "ServiceSpec.loadBalancerIP",
        "ServiceSpec.loadBalancerSourceRanges",
        "ServiceSpec.publishNotReadyAddresses",
        "ServiceSpec.sessionAffinityConfig",
        "ServicePort.appProtocol",
        "Service.status",
        "ConfigMap.binaryData",
        "ConfigMap.immutable",
        "Event.related",
        "Event.series",
        "Endpoint.deprecatedTopology",
        "Endpoint.hints",
        "Endpoint.hostname",
        "discovery/v1.EndpointPort.appProtocol",
        "ObjectReference.fieldPath",
        "ObjectReference.resourceVersion",
        "LeaseSpec.preferredHolder",
        "LeaseSpec.strategy",
        "PersistentVolumeSpec.mountOptions",
        "PersistentVolumeSpec.volumeAttributesClassName",
        "PersistentVolumeClaimSpec.volumeAttributesClassName",
    }
)
"""Besides all of a status, and the sources of volumes: what a container does inside, and who may see it."""


def judged(visit: Visit) -> tuple[str, str] | None:
    """('refused' or 'told', why) of a field that is not modelled and says something; else None."""
    key = f"{visit.message}.{visit.field}"
    for word, rules in (("refused", REFUSED), ("told", TOLD)):
        rule = rules.get(key)
        if rule is not None and visit.value not in rule.harmless and visit.value is not None:
            return word, rule.why
    return None
