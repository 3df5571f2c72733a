"""Pods as `kubectl get pods` prints them. Source: printers.go printPod."""

from __future__ import annotations

from typing import Any

from harness.apiserver.http.tables.cells import NONE, Json, Moment, created, name_of, part


def _pod(obj: Json, moment: Moment) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    reason, restarts, ready = _state(spec, status, moment)
    total = len(spec.get("containers") or []) + sum(map(_sidecar, spec.get("initContainers") or []))
    if part(obj, "metadata", "deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    gates = spec.get("readinessGates") or []
    gate = NONE
    if gates:
        held = {item["type"]: item["status"] for item in status.get("conditions") or []}
        gate = f"{sum(held.get(item['conditionType']) == 'True' for item in gates)}/{len(gates)}"
    return [
        name_of(obj),
        f"{ready}/{total}",
        reason,
        restarts,
        moment.age(created(obj)),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        gate,
    ]


def _sidecar(container: Json) -> bool:
    return container.get("restartPolicy") == "Always"


def _state(spec: Json, status: Json, moment: Moment) -> tuple[str, str, int]:
    """(what the STATUS column says, RESTARTS, how many containers are ready)."""
    reason = status.get("reason") or status.get("phase") or "Unknown"
    for item in status.get("conditions") or []:
        if item.get("type") == "PodScheduled" and item.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    restarts = ready = 0
    last = ""
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if _sidecar(c)}
    starting = False
    inits = status.get("initContainerStatuses") or []
    for index, container in enumerate(inits):
        restarts += container.get("restartCount") or 0
        last = max(last, _ended(container))
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if ended is not None:
            reason = "Init:" + (ended.get("reason") or _exit(ended))
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or [])}"
        starting = True
        break
    if not starting:
        running = False
        for container in reversed(status.get("containerStatuses") or []):
            restarts += container.get("restartCount") or 0
            last = max(last, _ended(container))
            state = container.get("state") or {}
            ended, waiting = state.get("terminated"), state.get("waiting") or {}
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif ended is not None:
                reason = ended.get("reason") or _exit(ended)
            elif container.get("ready") and state.get("running") is not None:
                running = True
                ready += 1
        if reason == "Completed" and running:
            ready_now = any(
                item.get("type") == "Ready" and item.get("status") == "True" for item in status.get("conditions") or []
            )
            reason = "Running" if ready_now else "NotReady"
    shown = f"{restarts} ({moment.age(last)} ago)" if restarts and last else str(restarts)
    return reason, shown, ready


def _exit(ended: Json) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _ended(container: Json) -> str:
    return part(container, "lastState", "terminated", "finishedAt") or ""


PODS = {
    "Pod": (
        ("Name", "Ready", "Status", "Restarts", "Age", "IP*", "Node*", "Nominated Node*", "Readiness Gates*"),
        _pod,
    ),
}
