"""The kind Fault of a live cluster: a CustomResourceDefinition, so that rights, watches and kubectl come with it.

`spec` has one fault under its name, as an entry of a scenario's `spec.faults` without `at`; `undo: true` ends it early.
"""

from __future__ import annotations

from typing import Any

from harness.faults.registry import FAULTS

GROUP = "podyard.dev"
KIND = f"Fault.{GROUP}"
"""Its name within the server, as of all kinds that are defined by a CustomResourceDefinition."""

NAME = f"faults.{GROUP}"

PHASES = ("Active", "Ended", "Undone", "Missed", "Refused")
"""Active: it lasts. Ended: by itself. Undone: by somebody. Missed: nothing to hit. Refused: not understood."""


def definition() -> dict[str, Any]:
    """The manifest. Which faults there are is what is installed here."""
    one = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {
        "type": "object",
        "description": "One fault under its name; `podyard schema` says the fields of each.",
        "properties": {
            "undo": {"type": "boolean", "description": "true: it ends now."},
            **{name: {**one, "description": _about(name)} for name in FAULTS.names()},
        },
    }
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    columns = [
        {"name": "Fault", "type": "string", "jsonPath": ".status.fault"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Targets", "type": "string", "jsonPath": ".status.target"},
        {"name": "Victims", "type": "integer", "jsonPath": ".status.recovery.victims"},
        {"name": "Recovered", "type": "string", "jsonPath": ".status.recovered"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {"plural": "faults", "singular": "fault", "kind": "Fault"},
            "versions": [version],
        },
    }


def _about(name: str) -> str:
    return " ".join((FAULTS.load(name).__doc__ or name).split())
