"""The controllers that every cluster has besides API server and scheduler."""

from __future__ import annotations

from harness.autoscaling.horizontal.controller import HorizontalController
from harness.controllers.nodes.node_lifecycle import NodeLifecycleController
from harness.controllers.nodes.pod_gc import PodGarbageCollector
from harness.controllers.nodes.taint_eviction import TaintEvictionController
from harness.controllers.objects.garbage_collector import GarbageCollector
from harness.controllers.objects.namespace import NamespaceController
from harness.controllers.policy.disruption import DisruptionController
from harness.controllers.policy.resource_quota import ResourceQuotaController
from harness.controllers.services.endpointslice.controller import EndpointSliceController
from harness.controllers.storage.ephemeral_volume import EphemeralVolumeController
from harness.controllers.storage.persistent_volume import PersistentVolumeController
from harness.controllers.storage.provisioner import ProvisionerController
from harness.controllers.workloads.daemonset import DaemonSetController
from harness.controllers.workloads.deployment.controller import DeploymentController
from harness.controllers.workloads.job.controller import JobController
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.engine.component import Component


def controllers() -> list[Component]:
    """kube-controller-manager's, and the provisioner of volumes."""
    return [
        DeploymentController(),
        ReplicaSetController(),
        JobController(),
        EndpointSliceController(),
        DisruptionController(),
        NodeLifecycleController(),
        TaintEvictionController(),
        PodGarbageCollector(),
        GarbageCollector(),
        NamespaceController(),
        HorizontalController(),
        ResourceQuotaController(),
        DaemonSetController(),
        PersistentVolumeController(),
        ProvisionerController(),
        EphemeralVolumeController(),
    ]
