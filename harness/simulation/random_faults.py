"""A random entry of a scenario's faults, of a given kind."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

Draw: TypeAlias = Callable[[Random, list[str], list[str]], dict[str, Any] | None]
"""(rng, apps, zones) -> the fault's own fields; None where it has nothing to hit."""


def _lasts(rng: Random) -> str:
    """From what nobody notices to what outlasts every timer; near 40 s and 50 s, where a lease runs out, to the ms."""
    near = f"{rng.randint(38_000, 52_000)}ms"
    return rng.choice(("300ms", "5s", "20s", near, near, "90s", "6m", "11m"))


def _select(rng: Random, apps: list[str], zones: list[str]) -> dict[str, Any]:
    return rng.choice(
        (
            {"count": 1},
            {"count": 2},
            {"zone": rng.choice(zones)},
            {"app": rng.choice(apps)} if apps else {"count": 1},
        )
    )


def _node_crash(rng: Random, apps: list[str], zones: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"select": _select(rng, apps, zones)}
    if rng.random() < 0.8:
        fields["downFor"] = _lasts(rng)
    return fields


def _app(fields: Callable[[Random], dict[str, Any]]) -> Draw:
    def draw(rng: Random, apps: list[str], zones: list[str]) -> dict[str, Any] | None:
        return {"app": rng.choice(apps), "count": rng.randint(1, 3), **fields(rng)} if apps else None

    return draw


def _deployment_change(rng: Random, apps: list[str], zones: list[str]) -> dict[str, Any] | None:
    names = [name for name in apps if name in ("web", "dep0")]  # those of the default namespace
    if not names:
        return None
    change = rng.choice(({"replicas": rng.randint(0, 5)}, {"image": f"i:{rng.randint(2, 9)}"}))
    return {"name": rng.choice(names), **change}


def _object_deletion(rng: Random, apps: list[str], zones: list[str]) -> dict[str, Any] | None:
    """What it names may be elsewhere, or not there: then the command fails, as commands do."""
    options: list[dict[str, Any]] = [{"kind": "Namespace", "name": "team"}]
    for app in apps:
        kind = {"dep": "Deployment", "web": "Deployment", "job": "Job", "set": "ReplicaSet", "age": "DaemonSet"}.get(
            app[:3]
        )
        if kind is not None:
            namespace = rng.choice(("default", "team"))
            options.append({"kind": kind, "name": app, "namespace": namespace})
            if kind == "Deployment":
                options.append({"kind": "Service", "name": app, "namespace": namespace})
    chosen = rng.choice(options)
    if chosen["kind"] not in ("Namespace", "Service") and rng.random() < 0.6:
        chosen["propagation"] = rng.choice(("Background", "Foreground", "Orphan"))
    return chosen


_DRAWS: dict[str, Draw] = {
    "nodeCrash": _node_crash,
    "nodeFreeze": lambda rng, apps, zones: {"select": _select(rng, apps, zones), "for": _lasts(rng)},
    "zonePartition": lambda rng, apps, zones: {"zone": rng.choice(zones), "for": _lasts(rng)},
    "containerCrash": _app(lambda rng: {"exitCode": rng.choice((0, 1, 137))}),
    "apiServerRestart": lambda rng, apps, zones: {"downFor": rng.choice(("100ms", "5s", "30s", "2m"))},
    "podDeletion": _app(lambda rng: rng.choice(({}, {"graceSeconds": 0}, {"graceSeconds": 60}))),
    "deploymentChange": _deployment_change,
    "objectDeletion": _object_deletion,
}

FAULTS = tuple(_DRAWS)


def random_fault(name: str, rng: Random, apps: list[str], zones: list[str], within_s: int) -> dict[str, Any] | None:
    """At an instant within `within_s`, to the millisecond, or at a rate until then."""
    fields = _DRAWS[name](rng, apps, zones)
    if fields is None:
        return None
    if rng.random() < 0.25:
        return {"every": f"{rng.randint(20, 120)}s", "until": f"{within_s}s", name: fields}
    # Some at the same instant as others.
    at_ms = rng.choice((60_000, 120_000)) if rng.random() < 0.25 else rng.randint(2_000, within_s * 1000)
    return {"at": f"{at_ms}ms", name: fields}
