"""Standard Workload Format (version 2.2): parallel jobs of 18 fields, as the Parallel Workloads Archive keeps them.

Format: Chapin et al., JSSPP 1999, and the archive's definition: -1 stands for unknown, ';' begins a comment, header
comments are `; Label: value`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from harness.model.errors import UserError
from workloads.lint import EXAMPLES, Lint
from workloads.readers.text import Lines, lines
from workloads.rows import MOST, SECOND_NS, Rows
from workloads.table import Provenance

PROVENANCE = Provenance(
    source="a log in Standard Workload Format",
    licence="as the log's own header says",
    url="https://www.cs.huji.ac.il/labs/parallel/workload/",
    citation="Feitelson, Tsafrir and Krakov, Experience with using the Parallel Workloads Archive, JPDC 2014",
    changes=(
        "a job becomes a gang of pods, one a node; its user is the owner, its group the namespace, its queue its queue",
        "a job starts no sooner than its think time after its preceding job has ended; submit times stand",
    ),
)

FIELDS = (
    "job",
    "submit",
    "wait",
    "run",
    "processors",
    "cpu_time",
    "used_memory_kb",
    "asked_processors",
    "asked_time",
    "asked_memory_kb",
    "status",
    "user",
    "group_id",
    "executable",
    "queue",
    "partition",
    "preceding",
    "think",
)
CANCELLED = 5
PARTIAL = (2, 3, 4)
"""Status of a line that tells one execution of a job which was swapped out; a line of status 0, 1 or 5 before them sums
them up. Source: the archive's definition of the format, field 11."""
MOST_PODS = 200_000
"""Nodes of one job: more than the largest machine in the archive has."""

_HEADER = re.compile(r"^;+\s*(\w+)\s*:\s*(.*?)\s*$")


def sniff(name: str, head: str) -> bool:
    return bool(re.search(r"\.swf(\.gz)?$", name)) or (
        head.lstrip("\ufeff").startswith(";") and "unixstarttime" in head.lower()
    )


def pods(path: Path, lint: Lint, *, processors_per_node: int | None = None) -> Iterator[pl.DataFrame]:
    """`processors_per_node`: how many of a job's processors one pod holds; from the header (MaxProcs / MaxNodes) unless
    given. Without either, a job is one pod.
    """
    head: dict[str, str] = {}
    seen = 0
    names: dict[str, str] = {}  # by number of a job, 'namespace/name' of its gang, or of its one pod
    for block in lines(path, lint):
        jobs = _comments(block, head)
        if not jobs.texts:
            continue
        if processors_per_node is None and not seen:
            processors_per_node = _per_node(head, lint)
        seen += len(jobs.texts)
        lint.rows += len(jobs.texts)
        yield _pods(_columns(jobs, lint), processors_per_node or 0, _number(head, "MaxProcs"), lint, names)
    if not seen:
        raise UserError("the file has no jobs", file=path, found="comments", expected=f"lines of {len(FIELDS)} fields")


def _comments(block: Lines, head: dict[str, str]) -> Lines:
    numbers, texts = [], []
    for number, text in zip(block.numbers, block.texts, strict=True):
        text = text.removeprefix("\ufeff") if number == 1 else text
        if text.lstrip().startswith(";"):
            found = _HEADER.match(text.strip())
            if found and found[2] != "-1":  # unknown; a later line may know
                head.setdefault(found[1].lower(), found[2])
        else:
            numbers.append(number)
            texts.append(text)
    return Lines(numbers, texts)


def _number(head: dict[str, str], key: str) -> int:
    """Of the header; 0 where it does not say, or -1, which stands for unknown. Logs write 1024 and 1,024."""
    digits = re.match(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,9}", head.get(key.lower(), ""))
    return int(digits[0].replace(",", "")) if digits else 0


def _per_node(head: dict[str, str], lint: Lint) -> int:
    processors, nodes = _number(head, "MaxProcs"), _number(head, "MaxNodes")
    if not processors or not nodes:
        lint.note("not-recorded", f"MaxProcs {processors}, MaxNodes {nodes}", "both, to split a job by node")
        return 0
    return max(1, processors // nodes)


def _columns(jobs: Lines, lint: Lint) -> pl.DataFrame:
    text = pl.Series("text", jobs.texts, pl.String)
    parts = text.str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    frame = pl.DataFrame({"line": pl.Series(jobs.numbers, dtype=pl.Int64), "text": text, "parts": parts})
    width = parts.list.len()
    for rule, wrong in (("cut-off-line", width < len(FIELDS)), ("extra-fields", width > len(FIELDS))):
        examples = frame.filter(wrong).head(EXAMPLES).select("line", "text").iter_rows()
        lint.note_all(rule, examples, int(wrong.sum()), f"{len(FIELDS)} fields")
    frame = frame.filter(width == len(FIELDS))
    return frame.select("line", *(frame["parts"].list.get(at).alias(name) for at, name in enumerate(FIELDS)))


def _pods(frame: pl.DataFrame, per_node: int, most: int, lint: Lint, names: dict[str, str]) -> pl.DataFrame:
    """`most`: processors of the machine, 0 where the log does not say. `names`: of the jobs so far; these are added."""
    rows = Rows(frame, lint)
    job = rows.text("job")
    rows["arrival_ns"] = rows.integer("submit", unit=SECOND_NS)
    run = rows.integer("run", unit=SECOND_NS, least=-SECOND_NS)
    asked_time = rows.integer("asked_time", unit=SECOND_NS, least=-SECOND_NS)
    status = rows.integer("status", least=-1, most=99)
    rows.flag("partial-execution", status.is_in(PARTIAL), "a line for the whole job", column="status")
    rows.flag("never-ran", (run <= 0) & (status == CANCELLED), "a run time", column="run")
    rows.flag("duration-missing", run < 0, "a run time", column="run")
    rows.flag("zero-duration", run == 0, "more than 0", column="run")
    rows["duration_ns"] = pl.select(
        pl.when(run >= 0).then(run).when(asked_time >= 0).then(asked_time).otherwise(0)
    ).to_series()
    asked = rows.integer("asked_processors", least=-1, most=10**7)
    held = rows.integer("processors", least=-1, most=10**7)
    processors = pl.select(pl.when(asked > 0).then(asked).otherwise(held)).to_series()
    rows.flag("missing-value", processors <= 0, "a number of processors", column="asked_processors")
    if most:
        rows.flag("larger-than-machine", processors > most, f"at most MaxProcs {most}", column="asked_processors")
    rows["processors"] = processors
    asked_memory = rows.integer("asked_memory_kb", least=-1, most=10**12)
    used_memory = rows.integer("used_memory_kb", least=-1, most=10**12)
    memory = pl.select(pl.when(asked_memory > 0).then(asked_memory).otherwise(used_memory).clip(0)).to_series()
    rows["memory_bytes"] = memory * 1024
    whole = memory.cast(pl.Float64) * 1024 * processors
    rows.flag("out-of-range", whole > MOST, f"at most {MOST} bytes a job", column="asked_memory_kb")
    pieces = processors // max(per_node, 1) if per_node else processors * 0
    rows.flag("out-of-range", pieces > MOST_PODS, f"at most {MOST_PODS} nodes a job", column="asked_processors")
    rows["group"] = "job-" + job
    user = rows.integer("user", least=-1)
    rows["app"] = pl.select(pl.when(user >= 0).then("user-" + user.cast(pl.String)).otherwise(pl.lit(""))).to_series()
    rows["user"] = rows["app"]
    queue = rows.integer("queue", least=-1)
    line = pl.when(queue >= 0).then("queue-" + queue.cast(pl.String)).otherwise(pl.lit(""))
    rows["queue"] = pl.select(line).to_series()
    group = rows.integer("group_id", least=-1)
    space = pl.when(group >= 0).then("group-" + group.cast(pl.String)).otherwise(pl.lit("default"))
    rows["namespace"] = pl.select(space).to_series()
    rows["estimate_ns"] = asked_time.clip(0)
    rows["preceding"] = rows.integer("preceding", least=-1).cast(pl.String)
    think = rows.integer("think", unit=SECOND_NS, least=-SECOND_NS)
    rows["think_ns"] = think.clip(0)
    return Rows(_after(_split(rows.good(), per_node), names, lint), lint).pods()


def _after(pods: pl.DataFrame, names: dict[str, str], lint: Lint) -> pl.DataFrame:
    """`after`: of the preceding job, which stands above the line (fields 17 and 18 of the format's definition)."""
    alone = pods["group"] == ""
    own = pods["namespace"] + "/" + pl.select(pl.when(alone).then(pods["name"]).otherwise(pods["group"])).to_series()
    jobs = pods["job"].str.strip_chars().to_list()
    after: list[str] = []
    for job, name, asked in zip(jobs, own.to_list(), pods["preceding"].to_list(), strict=True):
        after.append(names.get(asked, "") if asked != job else "")
        names[job] = name
    rows = Rows(pods.with_columns(after=pl.Series(after, dtype=pl.String)), lint)
    unknown = (rows["preceding"].cast(pl.Int64) > 0) & (rows["after"] == "")
    rows.flag("constraint-dropped", unknown, "a job above this line", column="preceding")
    return rows.frame


def _split(jobs: pl.DataFrame, per_node: int) -> pl.DataFrame:
    """One row a pod: as many full nodes as the job needs, and what is left over."""
    size = pl.lit(per_node) if per_node else pl.col("processors")
    pieces = jobs.with_columns(pieces=(pl.col("processors") + size - 1) // size)
    out = pieces.with_columns(piece=pl.int_ranges(0, pl.col("pieces"))).explode("piece")
    held = pl.min_horizontal(size, pl.col("processors") - pl.col("piece") * size)
    return out.with_columns(
        name=pl.col("group") + "-" + pl.col("piece").cast(pl.String),
        cpu_milli=held * 1000,
        memory_bytes=held * pl.col("memory_bytes"),
        group=pl.when(pl.col("pieces") > 1).then(pl.col("group")).otherwise(pl.lit("")),
    )
