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
    "V2ResourceMetricSource.name": _RESOURCES,
    "V2ContainerResourceMetricSource.name": _RESOURCES,
    "V1JobSpec.scheduling": Rule("the job's pods would be scheduled one by one"),
    "V1PodSpec.resourceClaims": Rule(_DRA),
    "V1ResourceRequirements.claims": Rule(_DRA),
    "V1PodSpec.resources": Rule("resources of a whole pod are not modelled; those of its containers count"),
    "V1PodSpec.schedulingGroup": Rule("pods would be scheduled one by one", ({},)),
    "V1PodSpec.evictionResponders": Rule("evictions would ask nobody"),
    "V1Container.restartPolicyRules": Rule("the container would restart by its pod's policy"),
    "V1NodeSpec.podPreemptionPolicy": Rule("preemption would go by the pods' own policy"),
}

TOLD: Mapping[str, Rule] = {
    "V1PodSpec.readinessGates": Rule("pods are ready when their containers are", ([],)),
    "V1PodSpec.hostNetwork": Rule("its container ports are not taken for host ports", (False,)),
    "V1PodSpec.runtimeClassName": Rule("the runtime class's overhead and nodes are not added", ("",)),
    "V1PodSpec.os": Rule("nodes are not told apart by their system", ({"name": "linux"},)),
    "V1Container.lifecycle": Rule("of its hooks, sleeps and simple commands take their time, others none", ({},)),
    "V1Probe.terminationGracePeriodSeconds": Rule("the pod's own grace period holds"),
    "V1ServiceSpec.externalTrafficPolicy": Rule("requests go to any ready pod", ("Cluster", "")),
    "V1ServiceSpec.internalTrafficPolicy": Rule("requests go to any ready pod", ("Cluster", "")),
    "V1ServiceSpec.sessionAffinity": Rule("requests go to any ready pod", ("None", "")),
    "V1ServiceSpec.trafficDistribution": Rule("requests go to any ready pod"),
    "V1ServiceSpec.externalName": Rule("nothing outside of the cluster answers", ("",)),
    "V1PersistentVolumeClaimSpec.dataSource": Rule("the volume is made without waiting for its source"),
    "V1PersistentVolumeClaimSpec.dataSourceRef": Rule("the volume is made without waiting for its source"),
    "V1PodSpec.ephemeralContainers": Rule("they take nothing and do nothing", ([],)),
}

UNINTERPRETED: Mapping[str, str] = {
    "NetworkPolicy": "no traffic is held back",
    "Ingress": "it routes no requests",
}
"""Kinds that are kept and bear on what is simulated."""

WITHOUT_EFFECT = frozenset(
    {
        "V1ObjectMeta.managedFields",
        "V1ObjectMeta.selfLink",
        "V1NodeSpec.configSource",
        "V1NodeSpec.externalID",
        "V1NodeSpec.podCIDRs",
        "V1NodeStatus.config",
        "V1NodeStatus.daemonEndpoints",
        "V1NodeStatus.declaredFeatures",
        "V1NodeStatus.features",
        "V1NodeStatus.nodeInfo",
        "V1NodeStatus.runtimeHandlers",
        "V1NodeStatus.volumesAttached",
        "V1NodeStatus.volumesInUse",
        "V1PodSpec.automountServiceAccountToken",
        "V1PodSpec.dnsConfig",
        "V1PodSpec.dnsPolicy",
        "V1PodSpec.enableServiceLinks",
        "V1PodSpec.hostAliases",
        "V1PodSpec.hostIPC",
        "V1PodSpec.hostPID",
        "V1PodSpec.hostUsers",
        "V1PodSpec.hostname",
        "V1PodSpec.hostnameOverride",
        "V1PodSpec.imagePullSecrets",
        "V1PodSpec.securityContext",
        "V1PodSpec.serviceAccount",
        "V1PodSpec.setHostnameAsFQDN",
        "V1PodSpec.shareProcessNamespace",
        "V1PodSpec.subdomain",
        "V1PodSpec.volumes",
        "V1Container.args",
        "V1Container.command",
        "V1Container.env",
        "V1Container.envFrom",
        "V1Container.resizePolicy",
        "V1Container.securityContext",
        "V1Container.stdin",
        "V1Container.stdinOnce",
        "V1Container.terminationMessagePath",
        "V1Container.terminationMessagePolicy",
        "V1Container.tty",
        "V1Container.volumeDevices",
        "V1Container.volumeMounts",
        "V1Container.workingDir",
        "V1Probe.exec",
        "V1Probe.grpc",
        "V1Probe.httpGet",
        "V1Probe.tcpSocket",
        "V1PodCondition.lastProbeTime",
        "V1JobCondition.lastProbeTime",
        "V1ContainerStateTerminated.containerID",
        "V1ContainerStateTerminated.message",
        "V1ContainerStateTerminated.signal",
        "V1ServiceSpec.allocateLoadBalancerNodePorts",
        "V1ServiceSpec.externalIPs",
        "V1ServiceSpec.healthCheckNodePort",
        "V1ServiceSpec.ipFamilies",
        "V1ServiceSpec.ipFamilyPolicy",
        "V1ServiceSpec.loadBalancerClass",
        "V1ServiceSpec.loadBalancerIP",
        "V1ServiceSpec.loadBalancerSourceRanges",
        "V1ServiceSpec.publishNotReadyAddresses",
        "V1ServiceSpec.sessionAffinityConfig",
        "V1ServicePort.appProtocol",
        "V1Service.status",
        "V1ConfigMap.binaryData",
        "V1ConfigMap.immutable",
        "CoreV1Event.related",
        "CoreV1Event.series",
        "V1Endpoint.deprecatedTopology",
        "V1Endpoint.hints",
        "V1Endpoint.hostname",
        "DiscoveryV1EndpointPort.appProtocol",
        "V1ObjectReference.fieldPath",
        "V1ObjectReference.resourceVersion",
        "V1LeaseSpec.preferredHolder",
        "V1LeaseSpec.strategy",
        "V1PersistentVolumeSpec.mountOptions",
        "V1PersistentVolumeSpec.volumeAttributesClassName",
        "V1PersistentVolumeClaimSpec.volumeAttributesClassName",
    }
)
"""Besides all of a status, and the sources of volumes: what a container does inside, and who may see it."""


def judged(visit: Visit) -> tuple[str, str] | None:
    """('refused' or 'told', why) of a field that is not modelled and says something; else None."""
    key = f"{visit.model}.{visit.field}"
    for word, rules in (("refused", REFUSED), ("told", TOLD)):
        rule = rules.get(key)
        if rule is not None and visit.value not in rule.harmless and visit.value is not None:
            return word, rule.why
    return None
