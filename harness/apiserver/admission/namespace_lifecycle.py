"""NamespaceLifecycle: nothing is created in a namespace that is not there or is being deleted.

Source: apiserver pkg/admission/plugin/namespace/lifecycle/admission.go.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.admission.plugin import AdmissionRequest, Plugin
from harness.apiserver.registry.lifecycle import spoken_name
from harness.model.status import forbidden, not_found


class NamespaceLifecycle(Plugin):
    def admit(self, request: AdmissionRequest) -> Any:
        namespace = request.namespace
        if namespace:
            space = self.cache.by_kind["Namespace"].get(namespace)
            if space is None:
                raise not_found("namespaces", namespace)
            if space.metadata.deletion_timestamp is not None:
                why = f"unable to create new content in namespace {namespace} because it is being terminated"
                raise forbidden(request.kind.plural, spoken_name(request.obj.metadata), why)
        return request.obj
