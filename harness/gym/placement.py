"""podyard/Placement-v1: placement alone, without a control plane, for training at thousands of steps a second.

A pod that was placed runs at once and is gone after its duration: no latencies, no kubelets, no retries. The
scheduler's own filters decide where a pod may go, and the measures are those of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from msgspec.structs import replace

from harness.experiment.api import Scenario, read
from harness.experiment.measures import placement_of
from harness.experiment.prepared import Prepared, prepare
from harness.experiment.scenario import LoadedScenario
from harness.experiment.workload import noted
from harness.gym.observation import Encoder, Mask, Observation
from harness.gym.reward import PodTotals, Reward, read_goal
from harness.gym.tasks import Task, check_playable, tasks_of
from harness.gym.waiting import Waiting
from harness.measure.placement import Placement
from harness.measure.pods import PodLives
from harness.measure.registry import catalogue
from harness.model.core import Pod, PodStatus
from harness.model.gpu import GPU_INDEX, devices_text
from harness.scheduling.feasibility.legality import Refused, apply_alone
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, PodView

SEEDS = (1, 1_000_000)
"""First and last scenario seed from which episodes are drawn by default."""

_RUNNING, _SUCCEEDED = PodStatus(phase="Running"), PodStatus(phase="Succeeded")


def observation_space(encoder: Encoder) -> spaces.Dict:
    return spaces.Dict({name: spaces.Box(-1.0, np.inf, shape, np.float32) for name, shape in encoder.shapes.items()})


def checked_seeds(seeds: tuple[int, int]) -> tuple[int, int]:
    first, last = seeds
    if not 0 <= first <= last:
        raise ValueError(f"seeds: {seeds}; expected (first, last) with 0 <= first <= last")
    return first, last


class PlacementEnv(gymnasium.Env[dict[str, Any], np.int64]):
    """Each step places one pod: the agent names its node.

    `scenario`: nodes, and pods that arrive and end; as for `podyard run` (a name, a YAML file, a mapping). `reward`: a
    path of `podyard measures`; the return of an episode is this measure, negative where less is better. `window`: how
    many pods the agent may choose from. `may_wait`: whether it may leave them waiting although a node has room.
    `seeds`: first and last scenario seed of episodes; reset(options={"scenario_seed": n}) names one.

    Action: `pod * nodes + node`, or `window * nodes` to leave the pods that are offered waiting until something arrives
    or ends. `action_masks()` (and info["action_mask"]) says which actions are legal. An illegal one leaves the pods
    waiting, too, and info["illegal"] is True. An episode ends when nothing is left to happen, or at the scenario's
    duration.

    Raises UserError for a scenario that needs more than nodes and pods, and for a reward that names no measure.
    """

    metadata = {"render_modes": ["ansi"]}

    def __init__(
        self,
        scenario: Scenario = "batch",
        *,
        reward: str = "placement.pendingSeconds.mean",
        window: int = 1,
        may_wait: bool = False,
        seeds: tuple[int, int] = SEEDS,
        settings: Mapping[str, str] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._loaded: LoadedScenario = read(scenario, settings or {}, {})
        check_playable(self._loaded)
        self._goal = read_goal(reward, catalogue(self._loaded.scenario.spec.measures))
        self._may_wait, self._seeds = may_wait, checked_seeds(seeds)
        self.render_mode = render_mode
        self._ended_with: dict[str, Any] = {}  # metrics, once the episode is over
        self._begin(self._seeds[0])
        self._encoder = Encoder(len(self._snapshot), self._snapshot.resources, window)
        self.observation_space = observation_space(self._encoder)
        self.action_space = spaces.Discrete(window * self._encoder.size + 1)

    # -- Gymnasium -----------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(self._seeds[0], self._seeds[1], endpoint=True))
        self._begin(int((options or {}).get("scenario_seed", drawn)))
        self._next()
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self._over:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset()")
        illegal = not self._act(int(action))
        self._next()
        earned = self._reward.step()
        info = self._info()
        if illegal:
            info["illegal"] = True
        if self._over:
            self._ended_with = {"placement": self._placement.metrics(self.now_ns, bound=False)}
            earned += self._reward.settle(self._ended_with)
        return self._observation(), earned, self._over, False, info

    def action_masks(self) -> Mask:
        """int8 [actions], 1 where the action is legal; the name that sb3-contrib's MaskablePPO asks for."""
        return self._encoder.mask(self._snapshot, self._offered, self._may_wait)

    def metrics(self) -> dict[str, Any]:
        """The placement measures of the episode so far, as in a record, without the proven bound."""
        return self._ended_with or {"placement": self._placement.metrics(self.now_ns, bound=False)}

    def render(self) -> str:
        tally, occupancy = self._tally, self._placement.occupancy
        shares = ", ".join(f"{name} {share:.0%}" for name, share in occupancy.ratios().items())
        return f"{self.now_ns / 1e9:.0f} s: {tally.bound} placed, {tally.waiting} waiting; allocated {shares}"

    # -- an episode ----------------------------------------------------------------------------------------------------

    def _begin(self, scenario_seed: int) -> None:
        prepared: Prepared = prepare(self._loaded, scenario_seed)
        self.scenario_seed = scenario_seed
        self.now_ns = 0
        self._snapshot = Snapshot()
        demand = prepared.demand()
        self._tasks: list[Task] = [
            task
            for task in tasks_of(prepared)
            if prepared.duration_ns is None or task.arrival_ns <= prepared.duration_ns
        ]
        for _ in noted(((task.arrival_ns, task.pod) for task in self._tasks), demand):
            break
        self._placement: Placement = placement_of(prepared, PodLives(), demand)
        self._tally = PodTotals(self._placement.occupancy)
        self._folds = (self._placement.lives, self._placement.occupancy, self._tally)
        for node in prepared.machines.nodes:
            self._placement.occupancy.write(0, "Node", "ADDED", node, None)
            self._snapshot.add_node(**node_columns(node))
        self._until_ns = prepared.duration_ns
        self._next_task = 0
        self._ends: list[tuple[int, int]] = []  # instant, index of the task
        self._waiting = Waiting(self._snapshot)
        self._offered: list[PodView] = []
        self._bound: list[Pod | None] = [None] * len(self._tasks)
        self._over = False
        self._ended_with = {}
        self._reward: Reward = Reward(self._goal, self._tally, self._horizon_ns(), len(self._tasks))

    def _horizon_ns(self) -> int:
        if not self._tasks:
            return 1
        first = self._tasks[0].arrival_ns
        if self._until_ns is not None:
            return self._until_ns - first
        return self._tasks[-1].arrival_ns + max((task.duration_ns or 0 for task in self._tasks), default=0) - first

    def _act(self, action: int) -> bool:
        """Whether the action was legal; an illegal one leaves the offered pods waiting."""
        size = self._encoder.size
        row, node = divmod(action, size)
        if row < len(self._offered) and action != self._encoder.window * size:
            view = self._offered[row]
            done = apply_alone(self._snapshot, Bind(view, node))
            if not isinstance(done, Refused):
                self._place(view, done)
                return True
            legal = False
        else:
            legal = action == self._encoder.window * size and self._may_wait
        self._waiting.put_aside(self._offered)
        return legal

    def _place(self, view: PodView, bind: Bind) -> None:
        index = self._waiting.placed(view, bind.node)
        task = self._tasks[index]
        pod = task.pod
        name = self._snapshot.node_table.names[bind.node]
        meta = pod.metadata
        if bind.devices:
            meta = replace(meta, annotations={**meta.annotations, GPU_INDEX: devices_text(bind.devices)})
        bound = Pod(metadata=meta, spec=replace(pod.spec, node_name=name), status=_RUNNING)
        self._write("MODIFIED", bound)
        self._bound[index] = bound
        if task.duration_ns is not None:
            heappush(self._ends, (self.now_ns + task.duration_ns, index))

    def _write(self, change: str, pod: Pod) -> None:
        for fold in self._folds:
            fold.write(self.now_ns, "Pod", change, pod, None)

    def _next(self) -> None:
        """To the next instant at which a pod fits somewhere, or to the end."""
        while True:
            self._offered = self._waiting.offered(self._encoder.window)
            if self._offered:
                return
            if not self._advance():
                self._over = True
                return

    def _advance(self) -> bool:
        """Advances to the next instant at which something ends or arrives; False if there is none."""
        tasks, ends = self._tasks, self._ends
        arrival = tasks[self._next_task].arrival_ns if self._next_task < len(tasks) else None
        at = min((instant for instant in (arrival, ends[0][0] if ends else None) if instant is not None), default=None)
        if self._until_ns is not None and (at is None or at >= self._until_ns):
            self._move_to(self._until_ns)
            return False
        if at is None:
            return False
        self._move_to(at)
        left: list[int] = []
        while ends and ends[0][0] == at:
            index = heappop(ends)[1]
            bound = self._bound[index]
            assert bound is not None
            node = self._snapshot.forget(bound.metadata.key)
            assert node is not None
            left.append(node)
            self._write("MODIFIED", Pod(metadata=bound.metadata, spec=bound.spec, status=_SUCCEEDED))
            self._bound[index] = None
        while self._next_task < len(tasks) and tasks[self._next_task].arrival_ns == at:
            task = tasks[self._next_task]
            view = self._snapshot.classes.view(task.pod, lifetime_ns=task.duration_ns)
            self._waiting.add(self._next_task, view)
            self._write("ADDED", task.pod)
            self._next_task += 1
        if left:
            self._waiting.left(left)
        self._waiting.put_off.clear()
        return True

    def _move_to(self, at: int) -> None:
        self._tally.advance(at)
        self.now_ns = self._snapshot.now_ns = at

    def _observation(self) -> Observation:
        return self._encoder.encode(self._snapshot, self._offered)

    def _info(self) -> dict[str, Any]:
        return {
            "action_mask": self.action_masks(),
            "seconds": self.now_ns / 1e9,
            "scenario_seed": self.scenario_seed,
        }
