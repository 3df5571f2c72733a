"""What stands in the files of a record, column by column; `python -m` of this module writes the page."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """`unit`: '' for text, counts and truth values."""

    what: str
    unit: str = ""


class Table(NamedTuple):
    what: str
    columns: dict[str, Column]


NS = "ns since the run began"
ACCOUNT = {
    "user": Column("whose it is, by the label that the scenario names"),
    "queue": Column("the queue, likewise"),
    "class": Column("the class of jobs, likewise"),
}
ASKED = {
    "cpu_milli": Column("CPU that it asks for", "milli-CPU"),
    "memory_bytes": Column("memory that it asks for", "bytes"),
    "gpu_milli": Column("GPUs that it asks for", "thousandths of a device"),
}

TABLES: dict[str, Table] = {
    "measures": Table(
        "Every number of the run, as `podyard measures` names it: the first file to read with another program.",
        {
            "path": Column("the measure; what stands for a `*` is filled in"),
            "name": Column("in words; '' for a number that no catalogue has"),
            "unit": Column("of the value"),
            "better": Column("`more`, `less` or `neither`"),
            "value": Column("the number", "see `unit`"),
            "at_least": Column("it is a lower bound: something had no end in this run"),
        },
    ),
    "pods": Table(
        "A row for each pod that ever was, in order of creation. -1: it has not happened.",
        {
            "key": Column("namespace/name"),
            "uid": Column("its uid"),
            "owner": Column("uid of the controller that made it; '' for a bare pod"),
            "created_ns": Column("when it was created", NS),
            "priority": Column("spec.priority"),
            "node": Column("its node; '' while it has none"),
            "bound_ns": Column("when it was bound to the node", NS),
            "running_ns": Column("when its phase became Running", NS),
            "ready_ns": Column("when it became Ready first", NS),
            "ended_ns": Column("when its containers had ended", NS),
            "deleted_ns": Column("when its deletion was asked for", NS),
            "gone_ns": Column("when the object was gone", NS),
            "phase": Column("its last phase"),
            "reason": Column("why it failed, or was taken away"),
            "restarts": Column("of its containers"),
            "stopped_ns": Column("from when on its node had no power, or stood still, until it ended", NS),
            "undone_ns": Column("how long containers ran in attempts that ended and were begun again in place", "ns"),
            "evicted_ns": Column("when the scheduler took it away: a preemption, or its strategy asked for it", NS),
            "tries": Column("FailedScheduling events"),
            **ASKED,
            **ACCOUNT,
        },
    ),
    "nodes": Table(
        "A row for each node that is there at the end.",
        {
            "name": Column("of the node"),
            "cpu_milli_capacity": Column("allocatable CPU", "milli-CPU"),
            "cpu_milli_used": Column("what its pods ask for", "milli-CPU"),
            "memory_bytes_capacity": Column("allocatable memory", "bytes"),
            "memory_bytes_used": Column("what its pods ask for", "bytes"),
            "gpu_milli_capacity": Column("its GPUs", "thousandths of a device"),
            "gpu_milli_used": Column("what its pods ask for", "thousandths of a device"),
            "pods_capacity": Column("most pods"),
            "pods_used": Column("pods"),
        },
    ),
    "jobs": Table(
        "A row for each job: a Job, a PodGroup or a pod that ends by itself. Left out where there is none.",
        {
            "job": Column("kind and namespace/name"),
            "arrival_ns": Column("when it arrived", NS),
            "alone_ns": Column("how long it runs with nobody else there; -1: it does not say", "ns"),
            "deadline_ns": Column("its deadline, after its arrival; 0 without one", "ns"),
            "started_ns": Column("when all of it ran first; -1: never", NS),
            "completed_ns": Column("when it was complete; -1: never", NS),
            **ASKED,
            "interrupted": Column("pods that ended otherwise than well, and are done again or never"),
            "work_cpu_hours": Column("of pods that succeeded", "CPU-hours"),
            "work_gpu_hours": Column("of pods that succeeded", "GPU-hours"),
            "lost_cpu_hours": Column("of those that were interrupted", "CPU-hours"),
            "lost_gpu_hours": Column("of those that were interrupted", "GPU-hours"),
            **ACCOUNT,
        },
    ),
    "autoscalers": Table(
        "Spells in which a node stayed, or a horizontal autoscaler was held back. Left out where there are none.",
        {
            "kind": Column("Node or HorizontalPodAutoscaler"),
            "name": Column("of the node; namespace/name of the autoscaler"),
            "group": Column("the node's pool; the type of the autoscaler's condition"),
            "reason": Column("why, in the autoscaler's words"),
            "from_ns": Column("since when", NS),
            "until_ns": Column("until when; -1: it lasted at the end", NS),
        },
    ),
    "journal": Table(
        "The ordered record of all that happened, which the digest is of. `podyard journal` tells it in words.",
        {
            "at_ns": Column("when it was written", NS),
            "revision": Column("of the store"),
            "kind": Column("of the object"),
            "change": Column("ADDED, MODIFIED or DELETED; of what is no write, what happened"),
            "key": Column("namespace/name"),
            "data": Column("what the journal keeps of the object, JSON"),
        },
    ),
    "scheduling": Table(
        "What the scheduler saw, in order: `podyard explain` brings decisions back from it. Outside of the digest.",
        {
            "kind": Column(
                "0 a node came, 1 changed, 2 went; 3 a pod was assumed, 4 forgotten; 5 a batch was handed to the "
                "strategy; 6 all was forgotten; 7 a volume, claim or class as it is now, 8 one that is gone"
            ),
            "at_ns": Column("when", NS),
            "node": Column("of the node; of a batch, the strategy's state"),
            "pod": Column("namespace/name; '' where it is about a node"),
            "detail": Column("a node's columns, the devices of a pod or the pods of a batch, JSON"),
        },
    ),
    "specs": Table(
        "Each pod as the scheduler first saw it, and again when it changed before it was bound. Outside of the digest.",
        {
            "pod": Column("namespace/name"),
            "uid": Column("its uid"),
            "at_ns": Column("when it was seen", NS),
            "meta": Column("labels, annotations and ownerReferences, JSON"),
            "spec": Column("its spec as it was admitted, JSON"),
        },
    ),
}
"""By the name of the file, without .parquet."""

HEAD = """# The files of a record

Made by `python -m harness.experiment.record_columns > docs/reference/records.md`. A run leaves a folder
`results/local/SCENARIO/STRATEGY/SEED/`: `record.json` (the scenario, versions, seed, digest, measures and what went
wrong), `metrics.prom` (the scheduler's metrics at the end, in Prometheus' text format) and these tables in Parquet.
`load(folder).table("pods")` of `harness.experiment.api` gives one as a frame; any program that reads Parquet does, too.
"""


def markdown() -> str:
    parts = [HEAD]
    for name, table in TABLES.items():
        rows = [f"| `{column}` | {found.unit} | {found.what} |" for column, found in table.columns.items()]
        parts.append(
            "\n".join([f"## {name}.parquet", "", table.what, "", "| column | unit | what it is |", "|---|---|---|"])
        )
        parts[-1] += "\n" + "\n".join(rows) + "\n"
    return "\n".join(parts)


if __name__ == "__main__":
    print(markdown(), end="")
