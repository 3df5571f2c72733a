"""The labels that every node has, whoever made it: what kubelets and cloud providers set, and their older twins.

Source: kubernetes 1.32 pkg/kubelet/kubelet_node_status.go initialNode and updateDefaultLabels; cloud-provider
controllers/node/node_controller.go; core/v1 well_known_labels.go.
"""

from __future__ import annotations

from collections.abc import Mapping

BOOT = "podyard.dev/boot"
"""Node annotation: so many ns from its registration until its network is up and it is Ready."""

REPLACES = "podyard.dev/replaces"
"""Node annotation: names of nodes, with commas, that it is to replace. While one of them is there, its group has one
more than it may otherwise have."""

POOL_LABEL = "podyard.dev/pool"
"""Of a node that an autoscaled pool's provider has made: the pool's name."""

HOSTNAME = "kubernetes.io/hostname"
PLATFORM = {
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
}
"""Of a node that says no other."""

TWINS = {
    "kubernetes.io/os": "beta.kubernetes.io/os",
    "kubernetes.io/arch": "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type": "beta.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
"""Labels of today, and the older ones that are set beside them."""


def with_node_labels(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """`labels`, and those that are missing and that a node of this name gets by itself."""
    out = {HOSTNAME: name, **PLATFORM, **labels}
    for label, twin in TWINS.items():
        if label in out:
            out.setdefault(twin, out[label])
    return out
