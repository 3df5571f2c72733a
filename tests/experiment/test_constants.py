"""Kubernetes' constants as settings: strict, recorded, swept, and each with its effect."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cluster.live import LiveCluster
from harness.experiment.prepared import prepare
from harness.experiment.record import read_journal, read_record
from harness.experiment.replay import replay_record
from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from harness.model.constants import DEFAULTS, TABLE, ConstantError, Constants, parse_constants
from harness.model.errors import UserError
from harness.report.constants import markdown
from harness.scheduling.registry import load
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.experiment.scenarios import scenario, written

HARNESS = Path(__file__).resolve().parents[2] / "harness"

CRASH = {"at": "1m", "nodeCrash": {"select": {"names": ["n-0"]}}}
WEB = {"name": "web", "replicas": 6, "cpu": 1, "load": {"constant": {"rps": 30}}}


def run(folder: Path, constants: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A record, with its journal's frame under 'journal'."""
    made = scenario(
        **{"duration": "4m", "bound": False, "workload": [{"service": WEB}], "constants": constants, **spec}
    )
    result = run_once(from_data(made, "small.yaml"), "least-allocated", 1, out=folder)
    assert result.folder is not None
    return {**read_record(result.folder), "journal": read_journal(result.folder), "folder": result.folder}


def instants(record: dict[str, Any], kind: str, change: str = "") -> list[tuple[int, str, Any]]:
    rows = record["journal"].iter_rows(named=True)
    return [
        (row["at_ns"], row["key"], json.loads(row["data"]))
        for row in rows
        if row["kind"] == kind and change in ("", row["change"])
    ]


def detected(record: dict[str, Any]) -> float:
    value: float = record["metrics"]["recovery"][0]["phases"]["detected"]["last"]
    return value


# -- strict ------------------------------------------------------------------------------------------------------------

WRONG = [
    ("node-monitor-grace-perod", "40s", "there is no such constant", "did you mean 'node-monitor-grace-period'?"),
    ("scale-down-uneeded-time", "5m", "there is no such constant", "did you mean 'scale-down-unneeded-time'?"),
    ("pod-eviction-timeout", "5m", "this constant is not modelled", "1.27 removed it"),
    ("node-monitor-grace-period", 40, "not a duration", "expected: a duration such as 50s"),
    ("node-monitor-grace-period", "0s", "too small", "above 0"),
    ("node-monitor-period", "1us", "too short a period", "0.01s"),
    ("podInitialBackoffSeconds", "1s", "not a whole number", "a whole number of seconds"),
    ("podInitialBackoffSeconds", 20, "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to", ""),
    ("podInitialBackoffSeconds", 0, "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0", ""),
    ("nodeLeaseDurationSeconds", 0, "invalid configuration: nodeLeaseDurationSeconds must be greater than 0", ""),
    ("maxContainerRestartPeriod", "10m", "(got: 600 seconds) must be set between 1s and 300s", ""),
    ("max-endpoints-per-slice", 1001, "must not be more than 1000, but got 1001", ""),
    ("horizontal-pod-autoscaler-tolerance", True, "not a number", "0.1"),
    ("scan-interval", "soon", "is not a duration", "soon"),
]


@pytest.mark.parametrize(("name", "value", "what", "more"), WRONG)
def test_what_cannot_be_set_is_told_with_its_line(tmp_path: Path, name: str, value: Any, what: str, more: str) -> None:
    path = written(tmp_path, constants={"node-eviction-rate": 0.1, name: value})
    result = CliRunner().invoke(app, ["run", str(path), "--nodes", "inline", "-q"])
    text = str(result.exception)
    line = 1 + next(at for at, row in enumerate(path.read_text().splitlines()) if name in row)
    assert f"small.yaml:{line}: spec.constants.{name}" in text or "podMaxBackoffSeconds" in text
    assert what in text
    assert more in text


def test_flags_of_the_cluster_autoscaler_are_constants_of_it_alone() -> None:
    data = scenario(constants={"scale-down-unneeded-time": "2m"})
    assert dict(prepare(from_data(data, "x.yaml"), 1).autoscaler_flags) == {"scale-down-unneeded-time": "2m"}
    twice = scenario(
        constants={"scan-interval": "20s"}, autoscaler="cluster-autoscaler?scan-interval=5s&expander=random"
    )
    with pytest.raises(UserError, match=r"spec\.autoscaler sets this flag, too"):
        prepare(from_data(twice, "x.yaml"), 1)
    other = scenario(constants={"scan-interval": "20s"}, autoscaler="tests.autoscaling.policies:Nothing")
    with pytest.raises(UserError):
        prepare(from_data(other, "x.yaml"), 1)


@given(st.dictionaries(st.sampled_from(sorted(TABLE)), st.integers(-5, 2000) | st.text(max_size=6) | st.floats()))
def test_any_values_are_constants_or_refused(values: dict[str, Any]) -> None:
    try:
        made = parse_constants(values)
    except ConstantError:
        return
    assert all(made.value(name) == value for name, value in values.items() if isinstance(value, int | float))


def test_what_is_written_is_read_again() -> None:
    units: dict[str, Any] = {"duration": str, "seconds": int, "count": int, "number": float, "gate": "true".__eq__}
    values = {name: units[item.unit](DEFAULTS.text(name)) for name, item in TABLE.items()}
    assert parse_constants(values) == DEFAULTS


def test_each_constant_is_somebodys_to_read() -> None:
    others = "".join(path.read_text() for path in HARNESS.rglob("*.py") if path.name != "constants.py")
    derived = {"node_lease_renew_interval_fraction": "lease_renewal_ns"}
    for name in Constants.__dataclass_fields__:
        assert f".{derived.get(name, name)}" in others, name


def test_the_page_is_the_table() -> None:
    """Made by `podyard constants --markdown > harness/model/CONSTANTS.md`."""
    assert (HARNESS / "model" / "CONSTANTS.md").read_text() == markdown()


def test_the_command_lists_what_a_scenario_sets(tmp_path: Path) -> None:
    path = written(tmp_path, constants={"node-monitor-grace-period": "40s", "scan-interval": "20s"})
    rows = json.loads(CliRunner().invoke(app, ["constants", str(path), "-o", "json"]).stdout)
    changed = {row["name"]: (row["default"], row["value"]) for row in rows if row["default"] != row["value"]}
    assert changed == {"node-monitor-grace-period": ("50s", "40s"), "scan-interval": ("10s", "20s")}


# -- recorded and swept ------------------------------------------------------------------------------------------------


def test_a_sweep_varies_a_constant_and_its_records_replay(tmp_path: Path) -> None:
    path = written(tmp_path, duration="3m", workload=[{"service": WEB}], faults=[CRASH], bound=False)
    words = [
        "run",
        str(path),
        "--vary",
        "constant.node-monitor-grace-period=20s,100s",
        "-s",
        "greedy",
        "-q",
        "-o",
        "json",
    ]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    quick, slow = json.loads(result.stdout)
    assert quick["variables"] == {"constant.node-monitor-grace-period": "20s"}
    assert 10 <= detected(quick) <= 25.1
    assert 90 <= detected(slow) <= 105.1
    folder = tmp_path / "out" / "small" / "constant.node-monitor-grace-period=20s" / "greedy" / "3"
    record = read_record(folder)
    assert record["scenario"]["spec"]["constants"] == {"node-monitor-grace-period": "20s"}
    assert record["constants"]["node-monitor-grace-period"] == "20s"
    assert record["constants"]["node-monitor-period"] == "5s"
    assert replay_record(folder).same


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("constant.node-monitor-grace-perod=1s", "did you mean 'node-monitor-grace-period'?"),
        ("constant.node-monitor-period", "names no value"),
        ("constant.node-monitor-period=often", "--vary constant.node-monitor-period=often"),
    ],
)
def test_a_sweep_of_what_is_none_is_told(tmp_path: Path, words: str, told: str) -> None:
    path = written(tmp_path)
    result = CliRunner().invoke(app, ["run", str(path), "--vary", words, "-s", "greedy", "-q"])
    assert result.exit_code != 0
    assert told in str(result.exception) + result.output


def test_a_live_cluster_has_them() -> None:
    data = scenario(constants={"default-unreachable-toleration-seconds": 7, "nodeLeaseDurationSeconds": 8})
    plan = prepare(from_data(data, "x.yaml"), 1, endless=True).cluster_plan(load("greedy")(), {})
    live = LiveCluster(MemoryStore(ObjectCodec()), plan, time_scale=100.0)
    try:
        live.run(until=3 * 10**9)
        server = live.cluster.server
        pods = list(server.objects("Pod").values())
        assert pods
        for pod in pods:
            stays = {item.key: item.toleration_seconds for item in pod.spec.tolerations}
            assert stays == {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 7}
        lease = server.objects("Lease")["kube-node-lease/n-0"]
        assert lease.spec.lease_duration_seconds == 8
    finally:
        live.close()


# -- effects -----------------------------------------------------------------------------------------------------------


def test_defaults_written_out_change_no_bit(tmp_path: Path) -> None:
    units: dict[str, Any] = {"duration": str, "seconds": int, "count": int, "number": float, "gate": "true".__eq__}
    same = {name: units[item.unit](DEFAULTS.text(name)) for name, item in TABLE.items()}
    assert run(tmp_path / "a", {}, faults=[CRASH])["digest"] == run(tmp_path / "b", same, faults=[CRASH])["digest"]


def test_eviction_follows_the_tolerations(tmp_path: Path) -> None:
    record = run(tmp_path, {"default-unreachable-toleration-seconds": 20}, faults=[CRASH])
    phases = record["metrics"]["recovery"][0]["phases"]
    assert phases["evicted"]["first"] - detected(record) == pytest.approx(20, abs=0.1)


def test_leases_that_run_out_before_they_are_renewed_make_nodes_flap(tmp_path: Path) -> None:
    record = run(tmp_path, {"node-monitor-grace-period": "6s", "node-monitor-period": "1s"}, duration="2m")
    states = [data[1] for _, key, data in instants(record, "Node") if key == "n-1"]
    assert states.count("Unknown") > 3
    assert any("node-monitor-grace-period 6s is no longer than the 10s" in text for text in record["notices"])


def test_node_eviction_rate_and_zone_threshold(tmp_path: Path) -> None:
    def gap(constants: dict[str, Any]) -> list[float]:
        group = {"name": "n", "count": 8, "cpu": 4, "memory": "16Gi"}
        fault = {"at": "1m", "nodeCrash": {"select": {"names": ["n-0", "n-1"]}}}
        record = run(tmp_path, constants, faults=[fault], nodes=[{"group": group}])
        tainted: dict[str, int] = {}
        for at, key, data in instants(record, "Node"):
            if any(text.endswith("unreachable:NoExecute") for text in data[3]):
                tainted.setdefault(key, at)
        return [b - a for a, b in pairwise(sorted(tainted.values()))]

    assert gap({"node-eviction-rate": 0.02})[0] >= 50e9
    assert gap({"node-eviction-rate": 0}) == []


def test_pleg_and_proxy_sync_and_endpoint_batches_delay_what_they_gather(tmp_path: Path) -> None:
    def served(constants: dict[str, Any]) -> tuple[int, int, int]:
        """When the first pod was Running, the first endpoint there, the first request routed."""
        service = {**WEB, "readyAfter": "0s"}
        record = run(tmp_path, constants, duration="30s", workload=[{"service": service}])
        running = next(at for at, _, data in instants(record, "Pod") if data[2] == "Running")
        ready = next(at for at, _, data in instants(record, "EndpointSlice") if data[1])
        routed = next(at for at, _, data in instants(record, "observed", "route") if data[1])
        return running, ready, routed

    plain = served({"genericPlegRelistPeriod": "0s", "minSyncPeriod": "0s"})
    pleg = served({"minSyncPeriod": "0s"})
    assert plain[0] <= pleg[0] <= plain[0] + 10**9
    assert pleg != plain
    at_once = {"genericPlegRelistPeriod": "0s"}
    batch = served({"endpointslice-updates-batch-period": "2s", **at_once})
    assert batch[1] - plain[1] == pytest.approx(2e9, abs=2e8)
    proxy = served({"minSyncPeriod": "5s", **at_once})
    assert (proxy[0], proxy[1]) == (plain[0], plain[1])
    assert plain[2] < proxy[2] <= plain[2] + 5 * 10**9


def test_backoff_of_containers_and_of_pods(tmp_path: Path) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "namespace": "default",
            "annotations": {"podyard.dev/duration": "1s", "podyard.dev/exit-code": "1"},
        },
        "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}]},
    }

    def restarts(constants: dict[str, Any]) -> int:
        record = run(tmp_path, constants, duration="2m", workload=[{"objects": [pod]}])
        return max(int(data[5]) for _, _, data in instants(record, "Pod"))

    default, quick = restarts({}), restarts({"maxContainerRestartPeriod": "2s"})
    assert default == 4  # at once, then after 10, 20, 40 s, each 1.5 s after the start before; the fifth waits for 80 s
    assert quick > 25


def test_backoff_of_jobs(tmp_path: Path) -> None:
    """How often a task that fails after a second is made anew in ten minutes: at once, then after 10, 20, 40 s, .."""
    template: dict[str, Any] = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"podyard.dev/duration": "1s", "podyard.dev/exit-code": "1"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"template": template, "backoffLimit": 100}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}

    def made(constants: dict[str, Any], of: dict[str, Any]) -> list[float]:
        record = run(tmp_path, constants, duration="10m", workload=[{"objects": [of]}])
        return sorted(at / 1e9 for at, _, _ in instants(record, "Pod", "ADDED"))

    waits = [b - a for a, b in pairwise(made({"MaxJobPodFailureBackOff": "40s"}, job))]
    assert [round(wait / 10) * 10 for wait in waits[:6]] == [10, 20, 40, 40, 40, 40]
    quick = made({"DefaultJobPodFailureBackOff": "1s", "MaxJobPodFailureBackOff": "5s"}, job)
    assert len(quick) > 60


def test_usage_is_sampled_and_scraped_when_the_constants_and_the_seed_say(tmp_path: Path) -> None:
    """What an autoscaler sees of a step is as old as the last scrape, and that as the last sample before it."""
    shop = {
        "name": "web", "replicas": 2, "cpu": "500m", "autoscaler": {"min": 2, "max": 10, "targetCpu": 50},
        "load": {"step": {"before": 40, "after": 300, "at": "2m"}},
    }  # fmt: skip

    def grown(seed: int, **constants: str) -> float:
        made = scenario(duration="200s", bound=False, workload=[{"service": shop}], constants=constants)
        result = run_once(from_data(made, "small.yaml"), "least-allocated", seed, out=tmp_path)
        assert result.folder is not None
        rows = instants({"journal": read_journal(result.folder)}, "Deployment")
        return next(at / 1e9 for at, _, data in rows if data[1] > 2)

    # The step at 121 s is sampled at a whole interval, scraped within one, seen within a second more.
    for seed, every in ((1, 1), (2, 8), (3, 8), (4, 20)):
        period = {"metric-resolution": f"{every}s", "housekeeping-interval": f"{every}s"}
        sampled = -(-121 // every) * every
        quick = {"horizontal-pod-autoscaler-sync-period": "1s"}
        assert sampled <= grown(seed, **period, **quick) <= sampled + 2 * every + 1.1
    hpa = {"housekeeping-interval": "100ms", "horizontal-pod-autoscaler-sync-period": "100ms"}
    seen = {round(grown(seed, **{"metric-resolution": "60s"}, **hpa) - 121, 1) for seed in range(4)}
    assert len(seen) >= 3  # each seed has its phase
    assert all(0 <= wait <= 60.5 for wait in seen)


def test_hpa_syncs_stabilizes_and_tolerates_as_it_is_told(tmp_path: Path) -> None:
    shop = {
        "name": "web", "replicas": 2, "cpu": "500m", "autoscaler": {"min": 2, "max": 10, "targetCpu": 50},
        "load": {"spike": {"base": 40, "peak": 200, "at": "2m", "hold": "3m"}},
    }  # fmt: skip

    def sizes(constants: dict[str, Any]) -> list[tuple[float, int]]:
        record = run(tmp_path, constants, duration="12m", workload=[{"service": shop}])
        out: list[tuple[float, int]] = []
        for at, _, data in instants(record, "Deployment"):
            if not out or out[-1][1] != data[1]:
                out.append((at / 1e9, data[1]))
        return out

    default = sizes({})
    quick = sizes({"horizontal-pod-autoscaler-downscale-stabilization": "30s"})
    first_down = {
        name: next(b[0] for a, b in pairwise(found) if b[1] < a[1])
        for name, found in (("default", default), ("quick", quick))
    }
    assert 590 <= first_down["default"] <= 640
    assert 325 <= first_down["quick"] <= 370
    assert len(sizes({"horizontal-pod-autoscaler-tolerance": 50})) == 1
    slow = sizes({"horizontal-pod-autoscaler-sync-period": "100s"})
    moves = [b[0] - a[0] for a, b in pairwise(slow[1:])]
    assert moves
    assert all(abs(move / 100 - round(move / 100)) < 0.01 for move in moves)


def test_sources_and_words() -> None:
    for constant in TABLE.values():
        assert constant.source, constant.name
        assert constant.decides[0].islower() or constant.decides.startswith("pods"), constant.name
    assert yaml.safe_load(f"x: {DEFAULTS.text('node-monitor-grace-period')}") == {"x": "50s"}
