"""The environments: Gymnasium's own checker, and returns, masks and digests that are those of a run."""

import sys
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.catalogue import number_paths
from harness.model.errors import UserError

gymnasium = pytest.importorskip("gymnasium", reason="Gymnasium is not installed: pip install 'podyard[rl]'")

import harness.gym  # noqa: E402
from harness.experiment.run import Home, Run  # noqa: E402
from harness.experiment.scenario import find_scenario, read_scenario  # noqa: E402
from harness.gym.cluster import ClusterEnv  # noqa: E402
from harness.gym.demands import Demands  # noqa: E402
from harness.gym.placement import PlacementEnv  # noqa: E402

FEW = {"spec.workload[0].openbLike.pods": "40", "spec.nodes[0].openbLike.count": "4"}
CROWDED = {**FEW, "spec.workload[0].openbLike.load": "140"}
REWARDS = (
    "placement.pendingSeconds.mean",
    "placement.pendingSeconds.p99",
    "placement.allocation.cpu",
    "+placement.allocationAtEnd.gpu",
    "-placement.nodesUsed",
    "+placement.nodesUsed",
    "placement.fragmentation.gpus",
    "placement.podsNeverBound",
)


def play(env: Any, seed: int, choose: Any) -> tuple[float, list[dict[str, Any]]]:
    """The return of an episode, and what was told at each step."""
    _, info = env.reset(seed=seed)
    told, total, over = [info], 0.0, False
    while not over:
        _, reward, over, _, info = env.step(choose(info["action_mask"]))
        total += reward
        told.append(info)
    return total, told


def first_legal(mask: Any) -> int:
    return int(mask.argmax())


@pytest.mark.parametrize("name", ["podyard/Placement-v1", "podyard/Cluster-v1"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasiums_checker_passes(name: str) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium.make(name, settings=FEW).unwrapped, skip_close_check=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_stable_baselines_checker_passes() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="Stable-Baselines3 is not installed")
    checker.check_env(PlacementEnv(settings=FEW))


@settings(max_examples=12, deadline=None)
@given(
    reward=st.sampled_from(REWARDS),
    seed=st.integers(0, 2**16),
    window=st.sampled_from([1, 3]),
    may_wait=st.booleans(),
    legal_only=st.booleans(),
)
def test_the_return_is_the_measure(reward: str, seed: int, window: int, may_wait: bool, legal_only: bool) -> None:
    env = PlacementEnv(reward=reward, window=window, may_wait=may_wait, settings=CROWDED)
    rng = np.random.default_rng(seed)

    def choose(mask: Any) -> int:
        return int(rng.choice(np.flatnonzero(mask))) if legal_only else int(rng.integers(len(mask)))

    total, _ = play(env, seed, choose)
    measured = {path: value for path, value, _ in number_paths(env.metrics())}[reward.lstrip("+-")]
    sign = 1 if reward.startswith(("placement.allocation", "+")) else -1
    assert total == pytest.approx(sign * measured, abs=1e-9)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_what_the_mask_allows_is_legal_and_nothing_else_is(seed: int) -> None:
    env = PlacementEnv(window=2, settings=CROWDED)
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    over = False
    while not over:
        mask = info["action_mask"]
        action = int(rng.integers(len(mask)))
        _, _, over, _, info = env.step(action)
        assert info.get("illegal", False) == (not mask[action])


def test_an_episode_is_the_same_for_the_same_seed_and_actions() -> None:
    first, second = (play(PlacementEnv(settings=CROWDED), 5, first_legal) for _ in range(2))
    assert first[0] == second[0]
    assert [info["seconds"] for info in first[1]] == [info["seconds"] for info in second[1]]


def test_observations_stay_as_they_were_and_show_what_a_placement_took() -> None:
    env = PlacementEnv(settings=FEW)
    before, info = env.reset(seed=1)
    kept = before["nodes"].copy()
    node = first_legal(info["action_mask"])
    after, *_ = env.step(node)
    assert (before["nodes"] == kept).all()
    rows = len(env._encoder.resources)
    assert (after["nodes"][node, rows : 2 * rows] <= kept[node, rows : 2 * rows]).all()
    assert after["nodes"][node, rows] < kept[node, rows]


def test_the_whole_control_plane_is_the_run_of_the_same_policy() -> None:
    """The same decisions, taken from outside or by a strategy: the same journal to the last bit."""
    name = {**FEW, "spec.workload[0].openbLike.load": "110"}
    env = ClusterEnv("batch", settings=name, reward="placement.startSeconds.p99")
    total, _ = play(env, 1, first_legal)
    assert env._run is not None
    seed, digest = env.scenario_seed, env._run.measures.journal.digest()
    assert total == pytest.approx(-env.metrics()["placement"]["startSeconds"]["p99"])
    env.close()

    loaded = read_scenario(find_scenario("batch"), {**name, "spec.scheduling.deadline": "0s"})
    run = Run(loaded, harness.gym.PolicyStrategy(lambda _, mask: first_legal(mask)), seed, Home())
    run.play()
    assert run.result("policy").digest == digest
    run.close()


def test_an_environment_closes_while_its_run_still_winds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end was read by the last step, the thread not yet over: close() waited for a second end, for ever."""
    env = ClusterEnv("batch", settings=FEW)
    told, go_on = Event(), Event()
    played = env._play

    def slowly(run: Run, agent: Any) -> None:
        played(run, agent)
        told.set()
        go_on.wait(30)

    monkeypatch.setattr(env, "_play", slowly)
    play(env, 1, first_legal)
    assert told.wait(30)
    closing = Thread(target=env.close, daemon=True)
    closing.start()
    go_on.set()
    closing.join(30)
    assert not closing.is_alive()


def test_a_cluster_that_is_left_midway_ends_its_thread() -> None:
    env = ClusterEnv("batch", settings=FEW)
    _, info = env.reset(seed=3)
    first = env._thread
    env.step(first_legal(info["action_mask"]))
    env.reset(seed=4)
    second = env._thread
    env.close()
    assert first is not None
    assert second is not None
    assert not first.is_alive()
    assert not second.is_alive()


def test_services_pools_and_faults_are_played_by_the_control_plane() -> None:
    with pytest.raises(UserError, match="pools need the control plane"):
        PlacementEnv("quickstart")
    env = ClusterEnv("quickstart", settings={"spec.duration": "90s", "spec.faults": "[]"})
    assert env.reset()[0]["nodes"].shape == (24 + 6 + 1 + 6, 13)  # nodes, the gateway, what the pool may add
    total, _ = play(env, 1, first_legal)
    assert total == pytest.approx(-env.metrics()["placement"]["pendingSeconds"]["mean"])
    env.close()


def test_vectorised() -> None:
    envs = gymnasium.make_vec("podyard/Placement-v1", num_envs=3, settings=FEW)
    seen, info = envs.reset(seed=1)
    assert seen["nodes"].shape[:2] == (3, 4)
    for _ in range(5):
        seen, rewards, *_, info = envs.step(info["action_mask"].argmax(axis=1))
    assert rewards.shape == (3,)
    envs.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"reward": "placement.pendingSecond.mean"}, "placement.pendingSeconds.mean"),
        ({"reward": "placement.nodesUsed"}, "better neither way"),
        ({"reward": "-placement.podsNeverBound"}, "the sign is the measure's own"),
        ({"scenario": "no-such"}, "no-such"),
        ({"seeds": (5, 1)}, "expected"),
        ({"scenario": {"apiVersion": "podyard.dev/v1", "kind": "Scenario"}}, "is missing"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], told: str) -> None:
    for make in (PlacementEnv, ClusterEnv):
        with pytest.raises((UserError, ValueError), match=told):
            make(**arguments)


def test_a_gang_is_refused_by_name() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"scheduling.x-k8s.io/pod-group": "g"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    group = {"name": "n", "count": 1, "cpu": 4, "memory": "8Gi"}
    scenario = {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "gang"},
        "spec": {"nodes": [{"group": group}], "workload": [{"objects": [pod]}]},
    }
    with pytest.raises(UserError, match="gang"):
        PlacementEnv(scenario)


def test_strategies_need_no_gymnasium() -> None:
    """A trained policy runs where Gymnasium is not installed: its parts know numpy and the protocol."""
    import subprocess

    code = "import sys; sys.modules['gymnasium'] = None\nimport harness.gym.policy, harness.gym.observation\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**16), window=st.sampled_from([1, 3]), may_wait=st.booleans())
def test_offered_are_the_first_pods_in_order_of_arrival_that_fit_anywhere(
    seed: int, window: int, may_wait: bool
) -> None:
    """As told by asking about each pod that waits; an environment remembers where classes of pods fit nowhere."""
    env = PlacementEnv(window=window, may_wait=may_wait, settings=CROWDED)
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    over = False
    while not over:
        waiting = env._waiting
        views = {index: view for pods in waiting._by_class.values() for index, view in pods.items()}
        fit = [view for _, view in sorted(views.items()) if env._snapshot.feasible(view).any()]
        aside = [index for index in waiting.put_off if index in views]
        assert env._offered == [view for view in fit if view not in [views[index] for index in aside]][:window]
        _, _, over, _, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))


def test_demands_are_met_where_the_filters_hold() -> None:
    """The bit sets against the filters, class by class and node by node, through a whole episode."""
    env = PlacementEnv(settings={**CROWDED, "spec.workload[0].openbLike.pods": "120"})
    _, info = env.reset(seed=3)
    snapshot, demands = env._snapshot, Demands(env._snapshot)
    classes: dict[int, Any] = {}
    over, compared = False, 0
    while not over:
        for view in env._offered:
            classes[view.cls.id] = view.cls
            demands.add(view.cls)
        for node in range(len(snapshot)):
            met = [cls for cls, asked in classes.items() if snapshot.verdicts.holds(asked, node)]
            assert sorted(demands.met_on(node)) == sorted(met)
            compared += 0 < len(met) < len(classes)
        _, _, over, _, info = env.step(first_legal(info["action_mask"]))
    assert compared > 100
