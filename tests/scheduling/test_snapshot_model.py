"""The snapshot through any course of events against a model in plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.model.core import (
    Taint,
    Toleration,
)
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import CPU, MEMORY, PodView
from tests.examples import examples
from tests.scheduling.test_snapshot import pod


@dataclass
class ModelNode:
    cpu: int
    memory: int
    pods: int
    devices: int
    model: str
    zone: str
    rank: int
    tainted: bool
    cordoned: bool
    running: dict[str, tuple[PodView, tuple[int, ...]]] = field(default_factory=dict)

    def free(self) -> tuple[int, int, int]:
        views = [view for view, _ in self.running.values()]
        return (
            self.cpu - sum(v.cls.amounts[CPU] for v in views),
            self.memory - sum(v.cls.amounts[MEMORY] for v in views),
            self.pods - len(views),
        )

    def idle(self) -> list[int]:
        out = [1000] * self.devices
        for view, devices in self.running.values():
            for device in devices:
                if device < self.devices:
                    out[device] -= view.gpu.milli
        return out

    def takes(self, cls_spec: tuple[int, int, int, int, str, str, bool]) -> bool:
        cpu, memory, count, milli, model, zone, tolerant = cls_spec
        free = self.free()
        if (cpu and cpu > free[0]) or (memory and memory > free[1]) or free[2] < 1:
            return False
        if count and ((model and model != self.model) or sum(i >= milli for i in self.idle()) < count):
            return False
        if zone and zone != self.zone:
            return False
        return not (self.cordoned or (self.tainted and not tolerant))


NODES = st.builds(
    ModelNode,
    cpu=st.integers(0, 20),
    memory=st.integers(0, 20),
    pods=st.integers(0, 4),
    devices=st.integers(0, 3),
    model=st.sampled_from(["T4", "A10"]),
    zone=st.sampled_from(["", "a", "b"]),
    rank=st.integers(0, 5),
    tainted=st.booleans(),
    cordoned=st.sampled_from([False, False, True]),
)
CLASSES = st.tuples(
    st.integers(0, 8),
    st.integers(0, 8),
    st.integers(0, 2),
    st.sampled_from([300, 1000]),
    st.sampled_from(["", "T4"]),
    st.sampled_from(["", "", "a"]),
    st.booleans(),
)


class SnapshotMachine(RuleBasedStateMachine):
    """Nodes come, change and go, pods are assumed and forgotten, in any order."""

    @initialize()
    def start(self) -> None:
        self.on = Snapshot()
        self.nodes: dict[str, ModelNode] = {}
        self.gone: dict[str, dict[str, tuple[PodView, tuple[int, ...]]]] = {}
        self.specs: dict[int, tuple[int, int, int, int, str, str, bool]] = {}
        self.views: list[PodView] = []
        self.count = 0

    def columns(self, name: str, item: ModelNode) -> dict[str, object]:
        return {
            "name": name,
            "capacity": {"cpu": item.cpu, "memory": item.memory, "pods": item.pods},
            "gpu_devices": item.devices,
            "gpu_model": item.model,
            "labels": {"zone": item.zone} if item.zone else {},
            "taints": (Taint(key="k", value="v"),) if item.tainted else (),
            "unschedulable": item.cordoned,
        }

    @rule(item=NODES)
    def add(self, item: ModelNode) -> None:
        self.count += 1
        name = next(iter(self.gone), f"n{self.count}") if self.count % 2 else f"n{self.count}"
        item.running = self.gone.pop(name, {})
        self.nodes[name] = item
        self.on.add_node(**self.columns(name, item), rank=item.rank)  # type: ignore[arg-type]

    @precondition(lambda self: self.nodes)
    @rule(item=NODES, data=st.data())
    def update(self, item: ModelNode, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        item.running, item.rank = self.nodes[name].running, self.nodes[name].rank
        if any(devices and max(devices) >= item.devices for _, devices in item.running.values()):
            item.devices = self.nodes[name].devices
        self.nodes[name] = item
        self.on.update_node(**self.columns(name, item))  # type: ignore[arg-type]

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        item = self.nodes.pop(name)
        if any(devices for _, devices in item.running.values()):
            # A node of the same name may come back with fewer devices: not this story.
            for key in list(item.running):
                self.on.forget(key)
            item.running = {}
        self.gone[name] = item.running
        self.on.remove_node(name)

    @rule(spec=CLASSES)
    def intern(self, spec: tuple[int, int, int, int, str, str, bool]) -> None:
        cpu, memory, count, milli, model, zone, tolerant = spec
        annotations = {"alibaba.com/gpu-count": str(count), "alibaba.com/gpu-milli": str(milli)} if count else {}
        if model and count:
            annotations["alibaba.com/gpu-card-model"] = model
        item = pod(
            f"pod-{len(self.views)}",
            annotations=annotations,
            requests={"cpu": f"{cpu}m", "memory": str(memory)},
            node_selector={"zone": zone} if zone else {},
            tolerations=(Toleration(operator="Exists", effect="NoSchedule", key="k"),) if tolerant else (),
        )
        view = self.on.classes.view(item)
        self.specs[view.cls.id] = spec if count else (cpu, memory, 0, 0, "", zone, tolerant)
        self.views.append(view)

    @precondition(lambda self: self.views and self.nodes)
    @rule(data=st.data())
    def assume(self, data: st.DataObject) -> None:
        view = data.draw(st.sampled_from(self.views))
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        self.on.forget(view.key)
        for item in self.nodes.values():
            item.running.pop(view.key, None)
        for left in self.gone.values():
            left.pop(view.key, None)
        self.on.assume(view, self.on.node_table.index[name])
        self.nodes[name].running[view.key] = (view, self.on.devices(view.key))

    @rule()
    def go_on_with_a_copy(self) -> None:
        """The copy takes over, and what happens to the original no longer matters."""
        left = self.on
        self.on = left.copy()
        for name in list(left.node_table.index):
            left.remove_node(name)

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        view = data.draw(st.sampled_from(self.views))
        self.on.forget(view.key)
        for item in self.nodes.values():
            item.running.pop(view.key, None)
        for left in self.gone.values():
            left.pop(view.key, None)

    @invariant()
    def columns_and_lists_agree_with_the_model(self) -> None:
        on = self.on
        assert sorted(n for n in on.names if n) == sorted(self.nodes)
        for name, item in self.nodes.items():
            at = on.node_table.index[name]
            assert on.alive[at]
            assert tuple(on.free[:3, at].tolist()) == item.free() == tuple(on.free_of[at][:3])
            assert on.gpu_free[at].tolist()[: item.devices] == item.idle() == on.devices_of[at]
            assert not on.gpu_free[at, item.devices :].any()
            assert sorted(v.key for v in on.pods_on(at)) == sorted(item.running)

    @invariant()
    def verdicts_agree_with_the_model(self) -> None:
        on = self.on
        for view in self.views:
            spec = self.specs[view.cls.id]
            expected = sorted(name for name, item in self.nodes.items() if item.takes(spec))
            mask = on.feasible(view)
            assert sorted(on.names[i] for i in np.flatnonzero(mask).tolist()) == expected
            assert all(on.verdicts.holds(view.cls, i) == mask[i] for i in range(len(on.names)))
            diagnosis = diagnose(on, view)
            assert diagnosis.nodes == len(self.nodes)
            assert bool(sum(diagnosis.reasons.values())) == (len(expected) < len(self.nodes))

    @invariant()
    def order_is_by_rank(self) -> None:
        on = self.on
        order = [i for i in on.order() if i >= 0]
        assert sorted(order) == sorted(on.node_table.index.values())
        assert [on.rank[i] for i in order] == sorted(on.rank[i] for i in order)


SnapshotMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)
TestSnapshot = SnapshotMachine.TestCase
