"""What `podyard new scenario` writes: a small scenario with a comment a part, that runs in seconds."""

from __future__ import annotations

import re
from pathlib import Path

from harness.experiment.scenario import built_in
from harness.model.errors import UserError

_TEXT = """\
# yaml-language-server: $schema=scenario.schema.json
# Editors complete and check this file with it: podyard schema > scenario.schema.json
#
#   podyard lint {name}.yaml              what would run, how long, how much memory
#   podyard run {name}.yaml               each strategy once
#   podyard run {name}.yaml --vary rps    once more for each value of the variable
#   podyard compare {name}.yaml --scheduler greedy,least-allocated --seeds 1-6
apiVersion: podyard.dev/v1
kind: Scenario
metadata:
  name: {name}
  description: a service and batch tasks on two groups of nodes, a node that crashes
spec:
  # Everything that is drawn at random depends on it. --seeds 1-5 runs five of them.
  seed: 1
  # Virtual time. Without it the run ends when all has ended; the load of a service has no end.
  duration: 10m

  # Values by name, put for {{rps}} below; the first unless --vary names others.
  variables:
    rps: [200, 400]

  # Nodes alike, dealt to zones in turn; traces and manifests of Kubernetes are other sources of nodes.
  nodes:
    - group: {{name: web, count: 4, cpu: 4, memory: 16Gi, zones: [a, b], labels: {{tier: web}}}}
    - group: {{name: gpu, count: 4, cpu: 16, memory: 64Gi, gpus: 4, zones: [a, b]}}

  workload:
    # A Deployment, its Service, a disruption budget and an autoscaler; clients send requests, each costs CPU.
    - service:
        name: web
        replicas: 4
        cpu: 500m
        memory: 512Mi
        cpuPerRequest: 5m
        minAvailable: 2
        nodeSelector: {{tier: web}}
        load: {{constant: {{rps: "{{rps}}"}}}}
        autoscaler: {{min: 2, max: 12, targetCpu: 70}}
    # Batch tasks as in the openb trace; load: percent of the GPUs that they ask for on average.
    - openbLike: {{pods: 60, load: 80, longest: 3m}}

  # podyard schedulers lists the others; yours is package.module:object.
  schedulers: [greedy, least-allocated]

  # What breaks, and when: here the node that runs most pods of the service loses power for three minutes.
  faults:
    - {{at: 4m, nodeCrash: {{select: {{app: web}}, downFor: 3m}}}}

  # The run fails (exit code 1) when a measure is not within; podyard measures lists them.
  gates:
    - {{metric: placement.podsBound, atLeast: 1}}
"""


def write_scenario(name: str, folder: Path) -> Path:
    """The file written. Raises UserError for a name that cannot be one, and where there is a file already."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise UserError("a scenario cannot be called that", found=name, expected="a-z, 0-9 and -, as my-scenario")
    if name in built_in():
        raise UserError(f"there is a built-in scenario {name!r} already", hint=f"my-{name}")
    path = folder / f"{name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEXT.format(name=name))
    except FileExistsError:
        raise UserError("there is something already, and nothing is overwritten", file=path, hint="--folder") from None
    except OSError as error:
        raise UserError(f"cannot write the scenario: {error.strerror}", file=path) from None
    return path
