"""What every autoscaling policy must guarantee, tested on small clusters with a step in the load.

Replica policies size a service whose load jumps; node policies and expanders size two pools for a service that does not
fit on the nodes that there are. Each example is a scenario; one that shows a fault is written as a file.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness.autoscaling.policy import AUTOSCALERS, stands_alone
from harness.experiment.autoscalers import settings_of_autoscaler
from harness.experiment.run import Home, Run
from harness.experiment.scenario import LoadedScenario, from_data, from_document
from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.testing.another_time import another_time
from harness.testing.conformance import Verdict
from harness.testing.global_randomness import GlobalRandomness

EXAMPLES = 4
DEADLINE_S = 10.0

_FAULT = re.compile(r": (raised|deadline|mutation|illegal): ")
_SERVICE = {"cpu": "500m", "memory": "256Mi", "cpuPerRequest": "20m"}  # one pod serves some 20 requests a second
_NODE_POOL = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {"name": "default"},
    "spec": {"template": {"spec": {"requirements": []}}},
}
"""For node policies that read NodePools."""
_MINUTES = 9  # of a run; the load jumps in the third, and a node comes within one


@dataclass(frozen=True, slots=True)
class Played:
    """`faults`: (kind, text) of what the policy did wrong. `short`: what is missing at the end, '' where nothing is."""

    digest: str
    faults: tuple[tuple[str, str], ...]
    short: str


def check_autoscaler(
    spec: str, *, examples: int = EXAMPLES, deadline_s: float = DEADLINE_S, write_to: Path | None = None
) -> list[Verdict]:
    """A verdict for each property. `spec`: as --autoscaler takes it. Raises UserError for what is no autoscaler."""
    return list(autoscaler_verdicts(spec, examples=examples, deadline_s=deadline_s, write_to=write_to))


def broken(spec: str, *, examples: int = EXAMPLES, deadline_s: float = DEADLINE_S) -> list[str]:
    """The properties that do not hold, in words; a test asserts that the list is empty."""
    found = check_autoscaler(spec, examples=examples, deadline_s=deadline_s)
    return [f"{verdict.name}: {verdict.reason}" for verdict in found if verdict.ok is False]


def autoscaler_verdicts(
    spec: str, *, examples: int = EXAMPLES, deadline_s: float = DEADLINE_S, write_to: Path | None = None
) -> Iterator[Verdict]:
    """`check_autoscaler`, one verdict at a time."""
    forms = [example(spec, index, deadline_s) for index in range(examples)]
    found: dict[str, tuple[str, int]] = {}  # the first example that breaks it
    drew = ""
    first: list[Played] = []
    for index in range(examples):
        global_randomness = GlobalRandomness()
        first.append(play(spec, forms[index]))
        for stream in global_randomness.drawn_from():
            drew = drew or f"it draws from {stream}; a node policy's own stream is the argument rng"
        for kind, text in first[-1].faults:
            name = {"deadline": "deadline", "mutation": "purity"}.get(kind, "legality")
            found.setdefault(name, (text, index))
        if first[-1].short and not first[-1].faults:
            found.setdefault("liveness", (first[-1].short, index))
        if "deadline" in found:
            break
    if drew:
        found.setdefault("purity", (drew, 0))
    for name in ("deadline", "legality", "purity", "liveness"):
        if name == "liveness" and {"deadline", "legality", "purity"} & found.keys() and name not in found:
            yield Verdict(name, None, "not judged: it did something that it may not")
        else:
            yield _verdict_of(name, found.get(name), forms, write_to)
    if "deadline" in found:
        yield Verdict("determinism", None, "not tried: its calls do not end")
        return
    yield _verdict_of("determinism", _differs(spec, forms, first), forms, write_to)


def example(spec: str, index: int, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """The scenario, as plain data, of example `index` for what `spec` decides. Raises UserError."""
    made = AUTOSCALERS.make(spec)
    rng = random.Random(f"autoscaler/{index}")
    before, after = 20 * rng.randint(1, 3), 20 * rng.randint(8, 24)
    extra: list[dict[str, Any]] = []
    service: dict[str, Any] = {"name": "web", "replicas": rng.randint(2, 4), **_SERVICE}
    form: dict[str, Any] = {"duration": f"{_MINUTES}m", "bound": False, "scheduling": {"deadline": f"{deadline_s}s"}}
    if hasattr(made, "propose"):
        service["load"] = {"step": {"at": "3m", "before": before, "after": after}}
        service["autoscaler"] = {"min": 1, "max": 60}
        form["nodes"] = [{"group": {"name": "n", "count": 8, "cpu": 8, "memory": "32Gi"}}]
    else:
        service["load"] = {"constant": {"rps": before}}
        service["replicas"] = rng.randint(6, 24)
        form["nodes"] = [{"group": {"name": "n", "count": 1, "cpu": 2, "memory": "8Gi"}}]
        sizes = rng.sample((2, 4, 8, 16), 2)
        form["pools"] = [
            {"name": name, "max": 12, "cpu": size, "memory": f"{4 * size}Gi", "price": 0.05 * size}
            for name, size in zip("ab", sizes, strict=True)
        ]
        if hasattr(made, "component") and stands_alone(spec):
            extra.append({"objects": [_NODE_POOL]})
    return {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": f"autoscaler-{index}"},
        "spec": {"seed": index, **form, "workload": [{"service": service}, *extra]},
    }


def play(spec: str, form: dict[str, Any]) -> Played:
    """One run of an example. Raises UserError where the policy cannot be made."""
    run = Run(_loaded(spec, form), load("greedy")(), form["spec"]["seed"], Home())
    try:
        run.play()
        result = run.result("greedy")
        faults = []
        for text in result.component_faults:
            kind = _FAULT.search(text)
            faults.append((kind[1] if kind else "raised", text))
        return Played(result.digest, tuple(faults), _short(run))
    finally:
        run.close()


def digest(spec: str, index: int) -> str:
    """The digest of the run of an example, which another process compares."""
    return play(spec, example(spec, index)).digest


def _loaded(spec: str, form: dict[str, Any]) -> LoadedScenario:
    loaded = from_data(form, "example.yaml")
    return from_document(loaded.document, dict(settings_of_autoscaler(loaded, spec)), {})


def _short(run: Run) -> str:
    """What capacity is missing at the end, in words; '' where none is."""
    pods = run.cluster.server.objects("Pod").values()
    waiting = [pod.metadata.key for pod in pods if not pod.spec.node_name]
    if run.prepared.pools:
        return f"{waiting[0]} and {len(waiting) - 1} others wait for a node at the end" if waiting else ""
    (target,) = run.measures.elasticity.targets
    needed = target.demand(run.end_ns - 1)
    ready = run.cluster.server.get("Deployment", "default", "web").status.ready_replicas or 0
    return f"{ready} replicas are ready at the end, {needed} are needed" if ready < needed else ""


def _differs(spec: str, forms: list[dict[str, Any]], first: list[Played]) -> tuple[str, int] | None:
    for index, (form, played) in enumerate(zip(forms, first, strict=True)):
        if play(spec, form).digest != played.digest:
            return "twice the same, and yet another digest", index
        with another_time():
            if play(spec, form).digest != played.digest:
                return "it looks at the clock: at another time of day another digest", index
    code = f"from harness.simulation.autoscalers import digest; print(digest({spec!r}, 0))"
    env = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(filter(None, ("", *sys.path)))}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout.split()[-1:] != [digest(spec, 0)]:
        return "with another PYTHONHASHSEED another digest: it goes through a set, or a hash", 0
    return None


def _verdict_of(
    name: str, found: tuple[str, int] | None, forms: list[dict[str, Any]], write_to: Path | None
) -> Verdict:
    if found is None:
        return Verdict(name, True)
    verdict = Verdict(name, False, found[0])
    if write_to is None:
        return verdict
    file = write_to / f"{name}.yaml"
    try:
        write_to.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(forms[found[1]], sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the example: {error.strerror}", file=file) from None
    return replace(verdict, file=file)
