"""podyard/Cluster-v1: the whole control plane. The agent takes the place of the scheduler's strategy.

The run has its own thread, which waits while the agent decides. Only one of the two works at a time, so episodes with
the same actions are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from harness.experiment.api import Scenario, read
from harness.experiment.prepared import prepare
from harness.experiment.run import Home, Run
from harness.experiment.scenario import LoadedScenario
from harness.gym.observation import Encoder, Mask, Observation
from harness.gym.placement import SEEDS, checked_seeds, observation_space
from harness.gym.reward import PodTotals, Reward, read_goal
from harness.measure.registry import catalogue
from harness.model.objects import Kind
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.scoring import one_by_one
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, ClusterView, Decision, PodBatch, PodView

_ENDED = None


class _Agent:
    """The strategy: hands each pod to the caller of `step`, and waits for the action."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[tuple[PodView, ClusterView] | None] = SimpleQueue()
        self.answers: SimpleQueue[int | None] = SimpleQueue()
        self.closed = False

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        return one_by_one(pods, cluster, lambda pod: self._choose(pod, cluster))

    def _choose(self, pod: PodView, cluster: ClusterView) -> Bind | None:
        if self.closed or not cluster.feasible(pod).any():
            return None
        self.asked.put((pod, cluster))
        answer = self.answers.get()
        return None if answer is None else Bind(pod, answer)


class _Closed(Exception):
    """The environment was closed or reset; the run stops."""


class ClusterEnv(gymnasium.Env[dict[str, Any], np.int64]):
    """Each step is one decision of a run's scheduler: for a pod that fits somewhere, the agent names the node.

    `scenario`: any that `podyard run` takes, with services, pools and faults; no training jobs. `reward`, `seeds`,
    `settings`: as of podyard/Placement-v1; the return is the measure in the run's record. `nodes`: how many the
    observation has room for; None: the scenario's nodes and all that pools may add.

    Action: a node's column, or `nodes` to leave the pod waiting, which is legal with `may_wait`. An illegal action
    leaves the pod waiting, and info["illegal"] is True. Raises UserError for what is wrong with the scenario or the
    reward, RunFailed for a run whose components failed.
    """

    metadata = {"render_modes": ["ansi"]}

    def __init__(
        self,
        scenario: Scenario = "batch",
        *,
        reward: str = "placement.pendingSeconds.mean",
        may_wait: bool = False,
        seeds: tuple[int, int] = SEEDS,
        settings: Mapping[str, str] | None = None,
        nodes: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        asked = {"spec.scheduling.deadline": "0s", **(settings or {})}
        self._loaded: LoadedScenario = read(scenario, asked, {})
        if any(source.training is not None for source in self._loaded.scenario.spec.workload):
            raise self._loaded.error("spec.workload", "training jobs are decided about in rounds", expected="pods")
        self._goal = read_goal(reward, catalogue(self._loaded.scenario.spec.measures))
        self._may_wait, self._seeds = may_wait, checked_seeds(seeds)
        self.render_mode = render_mode
        first = prepare(self._loaded, self._seeds[0])
        kinds = Snapshot()
        for node in first.cluster_plan(_Agent(), {}).nodes:
            kinds.add_node(**node_columns(node))
        for pool in first.pools:
            columns = node_columns(pool.template)
            columns["name"] = f"of pool {pool.name}"
            kinds.add_node(**columns)
        room = len(kinds) + sum(pool.most - 1 for pool in first.pools)
        self._encoder = Encoder(room if nodes is None else nodes, kinds.resources)
        room = self._encoder.size
        self.observation_space = observation_space(self._encoder)
        self.action_space = spaces.Discrete(room + 1)
        self._run: Run | None = None
        self._thread: Thread | None = None
        self._over = True

    # -- Gymnasium -----------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._stop()
        drawn = int(self.np_random.integers(self._seeds[0], self._seeds[1], endpoint=True))
        self.scenario_seed = int((options or {}).get("scenario_seed", drawn))
        self._agent = _Agent()
        run = self._run = Run(self._loaded, self._agent, self.scenario_seed, Home())
        self._tally = PodTotals(run.measures.placement.occupancy)
        self._metrics: dict[str, Any] = {}
        self._failure: BaseException | None = None
        run.cluster.server.listeners.insert(0, self._written)
        prepared = prepare(self._loaded, self.scenario_seed)  # arrivals are read once, and the run reads its own
        arrivals = [at for at, _ in prepared.workload.stream()]
        until = prepared.duration_ns if prepared.duration_ns is not None else arrivals[-1] if arrivals else 1
        window_ns = until - (arrivals[0] if arrivals else 0)
        self._reward = Reward(self._goal, self._tally, window_ns, len(arrivals))
        self._thread = Thread(target=self._play, args=(run, self._agent), name="podyard-run", daemon=True)
        self._thread.start()
        self._await()
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self._over or self._offered is None:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset()")
        node = int(action)
        pod, cluster = self._offered
        waits = node == self._encoder.size
        legal = self._may_wait if waits else node < len(cluster.names) and bool(cluster.feasible(pod)[node])
        self._agent.answers.put(node if legal and not waits else None)
        self._await()
        assert self._run is not None
        self._tally.advance(self._run.cluster.now)
        earned = self._reward.step()
        if self._over:
            earned += self._reward.settle(self._metrics)
        info = self._info()
        if not legal:
            info["illegal"] = True
        return self._observation(), earned, self._over, False, info

    def action_masks(self) -> Mask:
        """int8 [actions], 1 where the action is legal; sb3-contrib's MaskablePPO calls it by this name."""
        if self._offered is None:
            out = np.zeros(self._encoder.size + 1, np.int8)
            out[-1] = 1
            return out
        pod, cluster = self._offered
        return self._encoder.mask(cluster, (pod,), self._may_wait)

    def metrics(self) -> dict[str, Any]:
        """The metrics of the run's record, once the episode is over."""
        return self._metrics

    def render(self) -> str:
        assert self._run is not None
        tally = self._tally
        return f"{self._run.cluster.now / 1e9:.0f} s: {tally.bound} placed, {tally.waiting} waiting"

    def close(self) -> None:
        self._stop()

    # -- the run in its thread -----------------------------------------------------------------------------------------

    def _play(self, run: Run, agent: _Agent) -> None:
        def look(_what: str, _at: int, _ended: int) -> None:
            if agent.closed:
                raise _Closed

        try:
            run.play(look)
            self._metrics = run.result("agent").metrics
        except _Closed:
            pass
        except BaseException as error:  # told to whoever steps
            self._failure = error
        agent.asked.put(_ENDED)

    def _await(self) -> None:
        """Until the next decision, or the end."""
        self._offered = self._agent.asked.get()
        self._over = self._offered is None
        if self._failure is not None:
            raise self._failure

    def _stop(self) -> None:
        run, thread = self._run, self._thread
        if run is None or thread is None:
            return
        self._agent.closed = True
        self._agent.answers.put(None)  # to the one decision that may wait; later ones see that it is closed
        thread.join()
        run.close()
        self._run = self._thread = None
        self._over = True

    def _written(self, kind: Kind, change: str, obj: Any, old: Any, revision: int) -> None:
        """Before the run's own measures see it: up to now everything was as they have it."""
        assert self._run is not None
        now = self._run.cluster.server.now
        self._tally.advance(now)
        self._tally.write(now, kind.kind, change, obj, old)

    def _observation(self) -> Observation:
        if self._offered is None:
            shapes = self._encoder.shapes
            return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        pod, cluster = self._offered
        return self._encoder.encode(cluster, (pod,))

    def _info(self) -> dict[str, Any]:
        assert self._run is not None
        return {
            "action_mask": self.action_masks(),
            "seconds": self._run.cluster.now / 1e9,
            "scenario_seed": self.scenario_seed,
        }
