"""An autoscaler by name: which settings of a scenario put it in charge of what it decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import msgspec

from harness.autoscaling.policy import AUTOSCALERS, stands_alone
from harness.experiment.scenario import LoadedScenario, read_scenario
from harness.model.errors import UserError

HORIZONTAL, CLUSTER = "horizontal-pod-autoscaler", "cluster-autoscaler"

PRIMARY = (
    "autoscaling.*.cost",
    "autoscaling.*.nodeHours",
    "autoscaling.*.underTimeshare",
    "requests.*.sloAttainment",
)
"""What autoscalers are held against: what they cost, and how well they serve. Decided about together. Not the mean
length of shortages: many short ones besides a long one would make it less."""


def settings_of_autoscaler(loaded: LoadedScenario, spec: str) -> Mapping[str, str]:
    """Settings, as of --set, under which the autoscaler `spec` decides: a node policy on the pools, an expander in the
    cluster autoscaler, a replica policy for horizontal pod autoscalers.

    Raises UserError for a name that is none, and where the scenario has nothing that it could size.
    """
    made = AUTOSCALERS.make(spec)
    form = loaded.scenario.spec
    if hasattr(made, "propose"):
        if not any(_scales(task) for task in form.workload):
            raise loaded.error(
                "spec.workload",
                f"{spec} says how many replicas there are, and nothing here is scaled",
                expected="a service with an autoscaler, or a HorizontalPodAutoscaler among manifests",
            )
        others = [name for name in form.controllers if name.lstrip("-").partition("?")[0] != HORIZONTAL]
        return {"spec.controllers": json.dumps([*others, f"{HORIZONTAL}?{urlencode({'policy': spec})}"])}
    alone = not hasattr(made, "best") and stands_alone(spec)
    if not form.pools and not alone:
        raise loaded.error(
            "spec.pools", f"{spec} says how many nodes there are, and there are no pools", expected="pools: [..]"
        )
    if hasattr(made, "component") or hasattr(made, "resize"):
        return {"spec.autoscaler": json.dumps(spec)}
    name, _, query = form.autoscaler.partition("?")
    flags = dict(parse_qsl(query)) if name == CLUSTER else {}
    return {"spec.autoscaler": json.dumps(f"{CLUSTER}?{urlencode({**flags, 'expander': spec})}")}


VARIABLE = "autoscaler"
"""Where several run, the record says which as a variable of this name."""


def reader(
    path: Path, given: Mapping[str, str], names: Sequence[str], variables: dict[str, list[str]]
) -> Callable[[Mapping[str, str]], LoadedScenario]:
    """What reads the scenario with values for its variables. Each of several autoscalers is a value of one more, which
    goes into `variables`. Raises UserError."""
    loaded = read_scenario(path, given)
    if len(names) > 1 and VARIABLE in loaded.scenario.spec.variables:
        raise UserError(
            f"the scenario has a variable {VARIABLE!r} of its own",
            file=path,
            hint=f"--vary {VARIABLE}, or one at a time",
        )
    over = {name: {**given, **settings_of_autoscaler(loaded, name)} for name in names}
    if len(names) > 1:
        variables[VARIABLE] = list(names)

    def read(chosen: Mapping[str, str]) -> LoadedScenario:
        rest = dict(chosen)
        name = rest.pop(VARIABLE, "") if len(names) > 1 else (names[0] if names else "")
        found = read_scenario(path, over.get(name, given), rest)
        return msgspec.structs.replace(found, chosen=dict(chosen))

    return read


def named(text: str) -> list[str]:
    """Names separated by commas, each once. Raises UserError where there is none."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError(
            "--autoscaler names none", found=text, expected="names of `podyard autoscalers`, or module:object"
        )
    return names


def _scales(task: object) -> bool:
    service = getattr(task, "service", None)
    if service is not None:
        return service.autoscaler is not None
    return bool(getattr(task, "manifests", None) or getattr(task, "objects", None))
