"""What autoscalers decided in a record, and why: what grew and shrank, what they refused, and why nodes stayed.

A fold over the journal's Events and observations, and the spells that node autoscalers noted beside it. Where a run has
no Events (`spec.events: false`), it is known what grew and shrank, and not for which pods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from harness.experiment.autoscaler_notes import COLUMNS
from harness.experiment.dry_run import JUST_IN_TIME, NO_PLACE
from harness.experiment.record import read_journal, whole_record
from harness.model.errors import UserError
from workloads.readers.parquet import read_parquet

SCALER = "HorizontalPodAutoscaler"
SAME_ORDER_NS = 10**9
"""Events about an order follow it within."""
NODE_REMOVED = "node removed by cluster autoscaler"
DISRUPTING = "Disrupting Node: "
NOT_NEEDED = (
    *("NotUnneededLongEnough", "NotUnreadyLongEnough", "ScaleDownInCooldown", "BlockedByOnCompletionPod"),
    *("max-scale-down-parallelism", "max-drain-parallelism"),
)
"""How reasons begin for which the cluster autoscaler keeps a node that it has found not needed."""
_GROWN = re.compile(r"\{(\S+) (\d+)->(\d+) \(max: (\d+)\)\}")
_CLAIM = re.compile(r"nodeclaim/([^,\s]+)")
_SIZE = re.compile(r"New size: (\d+); reason: (.*)", re.DOTALL)
_TOLD = {
    "ScaleDownFailed": "cluster-autoscaler",
    "FailedToScaleUpGroup": "cluster-autoscaler",
    "ScaleUpTimedOut": "cluster-autoscaler",
    "ClusterUnhealthy": "cluster-autoscaler",
    "MaxNodesTotalReached": "cluster-autoscaler",
    "DeleteUnregistered": "cluster-autoscaler",
    "FixNodeGroupSize": "cluster-autoscaler",
    "NoCompatibleInstanceTypes": JUST_IN_TIME,
    "InsufficientCapacityError": JUST_IN_TIME,
    "EvictedPod": "vpa-updater",
}
"""Reasons of Events that say by themselves what was done, or went wrong, and whose they are."""


@dataclass(slots=True)
class Decision:
    """`kind`: scaleUp, scaleDown, rescale, event. `about`: a pool, a node, a workload. `pods`: that it was for."""

    at_ns: int
    by: str
    kind: str
    about: str
    what: str
    why: str = ""
    pods: list[str] = field(default_factory=list)

    def to_data(self) -> dict[str, Any]:
        return {
            "atSeconds": self.at_ns / 1e9,
            "by": self.by,
            "kind": self.kind,
            "about": self.about,
            "what": self.what,
            "why": self.why,
            "pods": self.pods,
        }


@dataclass(slots=True)
class Refusal:
    """The same words about pods of one owner, or about one object; `times` with repetitions."""

    by: str
    reason: str
    message: str
    from_ns: int
    until_ns: int
    about: dict[str, None]
    times: int = 0

    def to_data(self) -> dict[str, Any]:
        return {
            "by": self.by,
            "reason": self.reason,
            "message": self.message,
            "fromSeconds": self.from_ns / 1e9,
            "untilSeconds": self.until_ns / 1e9,
            "about": list(self.about),
            "times": self.times,
        }


@dataclass(frozen=True, slots=True)
class Stay:
    """`kind`: Node, of pool `group`; or HorizontalPodAutoscaler, of whose condition `group` is the type. `until_ns`: -1
    for what lasted at the end."""

    kind: str
    name: str
    group: str
    reason: str
    from_ns: int
    until_ns: int

    def to_data(self) -> dict[str, Any]:
        until = None if self.until_ns < 0 else self.until_ns / 1e9
        where = {"pool": self.group} if self.kind == "Node" else {"condition": self.group}
        at = {"fromSeconds": self.from_ns / 1e9, "untilSeconds": until}
        return {"kind": self.kind, "name": self.name, **where, "reason": self.reason, **at}


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """`stays` None: the record does not tell."""

    decisions: list[Decision]
    refusals: list[Refusal]
    stays: list[Stay] | None

    def of_node(self, node: str) -> Autoscaling:
        """What was decided about one node. Raises UserError where nothing is known of it."""
        decisions = [item for item in self.decisions if item.about == node]
        refusals = [item for item in self.refusals if list(item.about) == [node]]
        stays = [item for item in self.stays or () if (item.kind, item.name) == ("Node", node)]
        if not (decisions or refusals or stays):
            hint = "nodes of pools and NodePools are decided about; podyard explain RECORD lists what was"
            raise UserError(f"no autoscaler decided anything about node {node!r}", hint=hint)
        return Autoscaling(decisions, refusals, None if self.stays is None else stays)

    def to_data(self) -> dict[str, Any]:
        return {
            "decisions": [item.to_data() for item in self.decisions],
            "refusals": [item.to_data() for item in self.refusals],
            "stays": None if self.stays is None else [item.to_data() for item in self.stays],
        }


def autoscaling(folder: Path) -> Autoscaling:
    """Raises UserError for what is no record, or one without its journal."""
    journal = read_journal(folder)
    with whole_record(folder):
        fold = _Fold()
        for entry in _entries(journal):
            fold.read(*entry)
        stays = _stays(folder)
        fold.explain_removals(stays or ())
    return Autoscaling(fold.decisions, list(fold.refusals.values()), stays)


def _entries(journal: Any) -> Iterator[tuple[int, str, str, str, Any]]:
    import polars as pl

    kind = pl.col("kind").cast(pl.String)
    change = pl.col("change").cast(pl.String)
    wanted = kind.is_in(("Event", SCALER)) | ((kind == "observed") & (change == "autoscaling"))
    rows = journal.filter(wanted | ((kind == "Node") & (change == "DELETED")))
    decode = msgspec.json.Decoder().decode
    for at_ns, what, how, key, data in rows.select("at_ns", "kind", "change", "key", "data").iter_rows():
        yield at_ns, what, how, key, decode(data)


def _stays(folder: Path) -> list[Stay] | None:
    """None of a record of before they were noted, and of a run in which nothing was."""
    path = (folder if folder.is_dir() else folder.parent) / "autoscalers.parquet"
    if not path.exists():
        return None
    frame = read_parquet(path, expected="the notes of autoscalers", hint="run the scenario again")
    return [Stay(*row) for row in frame.select(COLUMNS).iter_rows()]


class _Fold:
    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.refusals: dict[tuple[str, str, str, str], Refusal] = {}
        self._orders: list[Decision] = []  # of the cluster autoscaler, whose Events may follow
        self._claims: dict[str, Decision] = {}
        self._sizes: dict[str, int] = {}  # by horizontal autoscaler
        self._removed: list[Decision] = []  # of which the node is not known yet
        self._seen: set[tuple[str, str, str, int]] = set()

    def read(self, at_ns: int, kind: str, change: str, key: str, data: Any) -> None:
        if kind == "observed":
            self._observed(at_ns, key, *data)
        elif kind == SCALER:
            self._scaler(at_ns, change, key, data[1])
        elif kind == "Node":
            self._node_gone(key)
        elif kind == "Event" and change != "DELETED":
            self._event(at_ns, key, *data)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _observed(self, at_ns: int, source: str, pool: str, way: str, count: int) -> None:
        if way == "up":
            if source == JUST_IN_TIME and (claim := self._launched(pool)) is not None:
                claim.what += ", launched"
                return
            nodes = "node" if count == 1 else "nodes"
            self._orders.append(Decision(at_ns, source, "scaleUp", pool, f"+{count} {nodes}"))
            self.decisions.append(self._orders[-1])
        elif way == "down":
            self._removed.append(Decision(at_ns, source, "scaleDown", "", f"a node of {pool} is removed"))
            self.decisions.append(self._removed[-1])
        elif way == "refused":
            words = f"the provider did not make {count} of {pool}"
            self.decisions.append(Decision(at_ns, source, "event", pool, words))

    def _launched(self, pool: str) -> Decision | None:
        """The next NodeClaim for pods that has no machine yet; one that replaces others is for none."""
        return next(
            (
                item
                for item in self._claims.values()
                if item.what == f"NodeClaim {item.about}" and item.about.startswith(f"{pool}-")
            ),
            None,
        )

    def _node_gone(self, node: str) -> None:
        """The first that a removal waits for, where no Event has said which."""
        if any(item.about == node for item in self.decisions if item.kind == "scaleDown"):
            return
        waiting = next((item for item in self._removed if not item.about), None)
        if waiting is not None:
            waiting.about, waiting.what = node, waiting.what.replace("a node", f"node {node}", 1)

    def explain_removals(self, stays: Sequence[Stay]) -> None:
        """Since when the cluster autoscaler had not needed a node that it removed. What was observed twice is once."""
        not_needed: dict[str, tuple[int, int]] = {}  # from, until: spells without a break between them
        for stay in stays:
            if stay.kind != "Node":
                continue
            from_ns, until_ns = not_needed.pop(stay.name, (stay.from_ns, stay.from_ns))
            if stay.reason.startswith(NOT_NEEDED):
                not_needed[stay.name] = (from_ns if until_ns == stay.from_ns else stay.from_ns, stay.until_ns)
        for item in self.decisions:
            if item.kind == "scaleDown" and not item.why and item.about in not_needed:
                item.why = f"not needed since {not_needed[item.about][0] / 1e9:.0f} s"
        self.decisions = [item for item in self.decisions if item.kind != "scaleDown" or item.about]

    # -- Events --------------------------------------------------------------------------------------------------------

    # size: the fields of an Event in the journal.
    def _event(
        self, at_ns: int, key: str, type_: str, reason: str, kind: str, name: str, message: str, count: int
    ) -> None:
        about = name if kind == "Node" else f"{key.partition('/')[0]}/{name}"
        if reason == "TriggeredScaleUp":
            self._triggered(at_ns, about, message)
        elif reason == "Nominated" and (claim := _CLAIM.search(message)) is not None:
            self._nominated(at_ns, about, claim[1])
        elif reason == "SuccessfulRescale" and (size := _SIZE.match(message)) is not None:
            self._rescaled(at_ns, about, int(size[1]), size[2])
        elif reason == "ScaleDown" and message == NODE_REMOVED:
            self._names_removed(at_ns, about, "")
        elif reason == "DisruptionTerminating":
            self._names_removed(at_ns, about, message.removeprefix(DISRUPTING))
        elif reason in _TOLD and (told := (reason, about, message, count)) not in self._seen:
            self._seen.add(told)
            self.decisions.append(Decision(at_ns, _TOLD[reason], "event", about, reason, message))
        elif reason == "FailedScheduling":
            by = JUST_IN_TIME if message.startswith(NO_PLACE) else "scheduler"
            self._refuse(at_ns, by, reason, about, message, owner=name.rpartition("-")[0])
        elif reason == "NotTriggerScaleUp":
            self._refuse(at_ns, "cluster-autoscaler", reason, about, message, owner=name.rpartition("-")[0])
        elif kind == SCALER and type_ == "Warning":
            self._refuse(at_ns, SCALER, reason, about, message, owner="")

    def _triggered(self, at_ns: int, pod: str, message: str) -> None:
        for pool, before, after, most in _GROWN.findall(message):
            for order in reversed(self._orders):
                if at_ns - order.at_ns > SAME_ORDER_NS:
                    break
                if order.about == pool:
                    order.what, order.why = f"{before} -> {after} nodes (max {most})", "pods that fit nowhere"
                    order.pods.append(pod)
                    break

    def _nominated(self, at_ns: int, pod: str, claim: str) -> None:
        known = self._claims.get(claim)
        if known is None:
            known = self._claims[claim] = Decision(at_ns, JUST_IN_TIME, "scaleUp", claim, f"NodeClaim {claim}")
            known.why = "pods that fit nowhere"
            self.decisions.append(known)
        if known.at_ns == at_ns and pod not in known.pods:
            known.pods.append(pod)

    def _names_removed(self, at_ns: int, node: str, why: str) -> None:
        """The cluster autoscaler says it with the removal, Karpenter before."""
        last = self._removed[-1] if self._removed else None
        if last is not None and not last.about and at_ns - last.at_ns <= SAME_ORDER_NS:
            last.about, last.what, last.why = node, last.what.replace("a node", f"node {node}", 1), why
        elif not any(item.about == node for item in self.decisions if item.kind == "scaleDown"):
            by = JUST_IN_TIME if why else "cluster-autoscaler"
            self.decisions.append(Decision(at_ns, by, "scaleDown", node, f"node {node} is disrupted", why))

    # -- replicas ------------------------------------------------------------------------------------------------------

    def _scaler(self, at_ns: int, change: str, key: str, wanted: int) -> None:
        """Its Event comes before the status; where there is none, the status says it."""
        if change == "DELETED":
            self._sizes.pop(key, None)
            return
        before = self._sizes.get(key)
        if before is not None and wanted != before and before > 0:
            self.decisions.append(Decision(at_ns, SCALER, "rescale", key, f"{before} -> {wanted} replicas"))
        self._sizes[key] = wanted

    def _rescaled(self, at_ns: int, key: str, size: int, why: str) -> None:
        before = self._sizes.get(key, 0)
        what = f"{before} -> {size} replicas" if before else f"{size} replicas"
        self.decisions.append(Decision(at_ns, SCALER, "rescale", key, what, why))
        self._sizes[key] = size

    # size: what a refusal consists of.
    def _refuse(self, at_ns: int, by: str, reason: str, about: str, message: str, *, owner: str) -> None:
        known = self.refusals.get((by, reason, owner or about, message))
        if known is None:
            known = self.refusals[by, reason, owner or about, message] = Refusal(by, reason, message, at_ns, at_ns, {})
        known.until_ns = at_ns
        known.times += 1
        known.about[about] = None
