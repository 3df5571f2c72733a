"""Volumes that are attached to nodes."""

from __future__ import annotations

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Key of the taint by which somebody says that nothing runs on a node. Source: core/v1 TaintNodeOutOfService."""
