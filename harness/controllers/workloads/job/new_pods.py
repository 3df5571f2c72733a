"""The pods that a Job makes: its template's, tracked, and each with its index where the Job is Indexed.

Source: pkg/controller/job/job_controller.go manageJob, indexed_job_utils.go (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from harness.apiserver.registry.names import LONGEST_PREFIX
from harness.controllers.runtime.pods import new_pod, owner_reference
from harness.controllers.workloads.job.indexes import INDEX, counts_per_index, failure_annotations
from harness.controllers.workloads.job.pods import FINALIZER
from harness.engine.component import Create
from harness.model.core import Container, Pod, PodSpec, PodTemplateSpec
from harness.model.meta import OwnerReference
from harness.model.workloads import Job

UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_OLD_UID_LABEL, _OLD_NAME_LABEL = "controller-uid", "job-name"
"""Source: batch/v1 ControllerUidLabel, JobNameLabel, and what they were called before."""

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
"""Source: job.completionIndexEnvName."""


def reference_to(job: Job) -> OwnerReference:
    return owner_reference(job, "batch/v1", "Job")


class NewPods:
    """What is the same for all pods of a template is made once."""

    def __init__(self) -> None:
        self._templates: dict[str, tuple[PodTemplateSpec, Create]] = {}

    def forget(self, uid: str) -> None:
        self._templates.pop(uid, None)

    def clear(self) -> None:
        self._templates.clear()

    def alike(self, key: str, job: Job, count: int) -> Sequence[Create]:
        """The very same write, many times over: the pods differ only in what the server gives them."""
        return [self._tracked(key, job)] * count

    def indexed(self, key: str, job: Job, indexes: Sequence[int], replaced: Mapping[int, Pod]) -> Sequence[Create]:
        """`replaced`: by index, the pod that failed last."""
        pod: Pod = self._tracked(key, job).obj
        meta, name = pod.metadata, job.metadata.name
        out = []
        for index in indexes:
            mark = {INDEX: str(index)}
            counted = failure_annotations(job, replaced.get(index)) if counts_per_index(job) else {}
            own = replace(
                meta,
                generate_name=_prefix(name, index),
                labels={**meta.labels, **mark},
                annotations={**meta.annotations, **mark, **counted},
            )
            spec = replace(pod.spec, extra={**(pod.spec.extra or {}), "hostname": f"{name}-{index}"})
            out.append(Create(replace(pod, metadata=own, spec=spec), key))
        return out

    def _tracked(self, key: str, job: Job) -> Create:
        meta, template = job.metadata, job.spec.template
        known = self._templates.get(meta.uid)
        if known is None or known[0] is not template:
            labels = template.metadata.labels
            if UID_LABEL not in labels:
                labels = {
                    **labels,
                    UID_LABEL: meta.uid,
                    NAME_LABEL: meta.name,
                    _OLD_UID_LABEL: meta.uid,
                    _OLD_NAME_LABEL: meta.name,
                }
            pod = new_pod(job, f"{meta.name}-", reference_to(job), labels)
            finalizers = (*(item for item in pod.metadata.finalizers if item != FINALIZER), FINALIZER)
            pod = replace(pod, metadata=replace(pod.metadata, finalizers=finalizers))
            if job.spec.completion_mode == "Indexed":
                pod = replace(pod, spec=_with_index_variable(pod.spec))
            known = self._templates[meta.uid] = (template, Create(pod, key))
        return known[1]


def _prefix(name: str, index: int) -> str:
    """Source: podGenerateNameWithIndex."""
    end = f"-{index}-"
    return name[: LONGEST_PREFIX - len(end)] + end


def _with_index_variable(spec: PodSpec) -> PodSpec:
    """Source: addCompletionIndexEnvVariables."""
    return replace(
        spec,
        containers=tuple(map(_with_completion_index, spec.containers)),
        init_containers=tuple(map(_with_completion_index, spec.init_containers)),
    )


def _with_completion_index(container: Container) -> Container:
    extra = container.extra or {}
    variables: list[Any] = list(extra.get("env") or ())
    if any(item.get("name") == INDEX_VARIABLE for item in variables):
        return container
    field = {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}
    variables.append({"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": field}})
    return replace(container, extra={**extra, "env": variables})
