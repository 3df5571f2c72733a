"""What `podyard new autoscaler` writes: a package of four files that installs, and whose test passes."""

from __future__ import annotations

from pathlib import Path

from harness.autoscaling.policy import AUTOSCALERS
from harness.testing.skeleton import check_name, package_files, write_files

_MODULE = '''\
"""{name}: as many replicas as their usage of CPU needs at `percent` of what one requests."""

import math

from harness.autoscaling.policy import Proposal, ScaleTarget
from harness.model.workloads import MetricSpec


class {kind}:
    """As many replicas as their usage of CPU needs at `percent` of what one requests."""

    def __init__(self, percent: int = 50):
        self.percent = percent

    def propose(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        used = target.metrics.resource("cpu", target.pods, "")  # milli-CPU by pod; raises MetricError without metrics
        request = target.pods[0].spec.containers[0].resources.requests["cpu"].milli
        replicas = math.ceil(sum(sample.value for sample in used.values()) / (request * self.percent / 100))
        return Proposal(max(replicas, 1), "cpu in all", {{"type": metric.type}})
'''

_SIZING_MODULE = '''\
"""{name}: nodes of the cheapest offers for pods that wait; an empty node goes when nobody has needed it for a while."""

from harness.autoscaling.policy import AddNodes, RemoveNode


class {kind}:
    """Nodes of the cheapest offers for pods that wait; an empty node goes after `idle` seconds."""

    def __init__(self, idle: int = 300):
        self.idle_ns = idle * 10**9
        self._empty_since = {{}}  # by name of the node

    def resize(self, pending, cluster, rng):
        waiting = list(pending)
        for offer in sorted(cluster.offers, key=lambda offer: (offer.price or 0.0, offer.name)):
            count = 0
            while waiting and count < offer.room:
                taken = {{pod.key for pod in cluster.fit(waiting, offer.name)}}
                if not taken:
                    break
                waiting = [pod for pod in waiting if pod.key not in taken]
                count += 1
            if count:
                yield AddNodes(offer.name, count)
        empty = {{node.name for node in cluster.nodes if node.ready and not node.going and not node.pods}}
        self._empty_since = {{name: self._empty_since.get(name, cluster.now_ns) for name in sorted(empty)}}
        for name, since in self._empty_since.items():
            if not pending and cluster.now_ns - since >= self.idle_ns:
                yield RemoveNode(name)
'''

_TEST = '''\
"""{name} keeps the rules: deadline, legality, purity, determinism, and capacity under a step of load."""

from harness.simulation.autoscalers import broken


def test_it_keeps_the_rules():
    assert broken("{name}", examples=2) == []
'''

_README = """\
# {name}

An autoscaling policy for Podyard: it says how many replicas there should be. The policy is `src/{module}/__init__.py`.
`harness/autoscaling/policy.py` in Podyard is the whole contract, also of policies that size node pools.

```sh
pip install -e ".[test]"
podyard autoscalers                                           # lists {name}
podyard check {name}                                          # deadline, legality, purity, liveness, determinism
podyard compare quickstart --autoscaler utilization,{name}    # how good it is
pytest
```
"""

_SIZING_README = _README.replace("how many replicas there should be", "which nodes to add and to remove").replace(
    "--autoscaler utilization,{name}", "--autoscaler least-waste,{name}"
)


def write_autoscaler_package(name: str, folder: Path, decides: str = "replicas") -> list[Path]:
    """The files written. `decides`: replicas, or nodes (a sizing policy). Raises UserError for a name that cannot be
    one, or a folder that holds something."""
    taken = {item.name: item.source for item in AUTOSCALERS.available()}
    function = check_name(name, "autoscaler", taken)
    module = f"podyard_{function}"
    kind = "".join(word.capitalize() for word in function.split("_"))
    values = {
        "name": name,
        "module": module,
        "kind": kind,
        "function": kind,
        "group": "podyard.autoscalers",
        "about": "An autoscaling policy for Podyard",
    }
    template, readme = (_MODULE, _README) if decides == "replicas" else (_SIZING_MODULE, _SIZING_README)
    return write_files(folder, package_files(folder, module, template, _TEST, readme), values)
