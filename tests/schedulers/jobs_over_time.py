"""A cluster over time in few words: jobs come, a strategy is handed all that wait at each arrival and end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.scheduling.feasibility import legality
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import Bind, BindTogether, PodView, Strategy

SECOND = 10**9


@dataclass
class Machine:
    """`nodes` of `cpu` milli each. Times in seconds."""

    nodes: int
    cpu: int = 1000
    memory: int = 1 << 30
    snapshot: Snapshot = field(default_factory=Snapshot)
    _jobs: list[tuple[float, str, list[PodView], float]] = field(default_factory=list)
    _runs_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for at in range(self.nodes):
            self.snapshot.add_node(f"n{at}", {"cpu": self.cpu, "memory": self.memory, "pods": 110}, 0, "")

    def job(
        self, name: str, pods: int, takes_s: float, at_s: float = 0.0, *, says_s: float | None = -1.0, cpu: int = 1000
    ) -> Machine:
        """`says_s`: the lifetime that it declares; what it takes, unless given."""
        said = takes_s if says_s == -1.0 else says_s
        cls = self.snapshot.classes.intern({"cpu": cpu, "memory": 1024})
        gang = f"default/{name}" if pods > 1 else None
        lifetime = None if said is None else round(said * SECOND)
        members = [
            PodView(f"default/{name}-{at}", cls, group=gang, group_min=pods if gang else 0, lifetime_ns=lifetime)
            for at in range(pods)
        ]
        self._jobs.append((at_s, name, members, takes_s))
        return self

    def starts(self, strategy: Strategy, until_s: float = 1000.0) -> dict[str, float]:
        """Seconds at which each job started; those that never did are missing."""
        to_come = sorted(self._jobs, key=lambda job: job[0])
        takes = {name: takes_s for _, name, _, takes_s in self._jobs}
        waiting: list[PodView] = []
        running: list[tuple[float, str]] = []  # end, pod
        started: dict[str, float] = {}
        rng = np.random.default_rng(0)
        while to_come or running:
            now = min([job[0] for job in to_come[:1]] + [end for end, _ in running])
            if now > until_s:
                break
            self.snapshot.now_ns = round(now * SECOND)
            for end, key in [each for each in running if each[0] <= now]:
                running.remove((end, key))
                self.snapshot.forget(key)
            while to_come and to_come[0][0] <= now:
                waiting += to_come.pop(0)[2]
            for decision in strategy.place(waiting, self.snapshot, rng) if waiting else ():
                if isinstance(decision, Bind | BindTogether):
                    outcome = legality.apply(self.snapshot, decision)
                    assert not isinstance(outcome, legality.Refused), outcome
                    for bind in outcome:
                        job = bind.pod.key.removeprefix("default/").rpartition("-")[0]
                        started.setdefault(job, now)
                        running.append((now + takes[job], bind.pod.key))
                        waiting = [pod for pod in waiting if pod.key != bind.pod.key]
        return started
