"""The components that every cluster has besides API server and scheduler, and those that a scenario asks for."""

from __future__ import annotations

from harness.autoscaling.cluster.autoscaler import ClusterAutoscaler, NodePool
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
from harness.engine.latency import Constant
from harness.engine.streams import stream
from harness.experiment.nodes import pool_template
from harness.experiment.scenario import Loaded, duration
from harness.faults.timeline import Timeline, parse
from harness.model.errors import UserError


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


def control_plane(loaded: Loaded, seed: int) -> list[Component]:
    """Raises UserError for faults that are malformed."""
    spec = loaded.scenario.spec
    made = controllers()
    if spec.pools:
        pools = tuple(
            NodePool(
                name=pool.name,
                template=pool_template(loaded, pool, f"spec.pools[{index}]"),
                least=pool.min,
                most=pool.max,
                provisioning=Constant(duration(loaded, pool.provisioning, f"spec.pools[{index}].provisioning")),
            )
            for index, pool in enumerate(spec.pools)
        )
        made.append(ClusterAutoscaler(pools, stream(seed, "cluster-autoscaler")))
    if spec.faults:
        try:
            planned = parse(spec.faults, "spec.faults")
        except UserError as error:
            path = error.what.partition(":")[0]
            what = error.what.partition(": ")[2]
            raise loaded.error(path, what, found=error.found, expected=error.expected, hint=error.hint) from None
        made.append(Timeline(planned, stream(seed, "faults")))
    return made
