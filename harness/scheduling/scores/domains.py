"""What the scores that count pods by topology domain share: a domain as a feature of its nodes."""

from __future__ import annotations

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.scores.plugin import Feature
from harness.scheduling.state.domain_counts import DomainCounts
from harness.scheduling.state.node_table import Codes, LabelColumn
from harness.scheduling.strategy import Int64

MAX_GROUPED_DOMAINS = 32
"""Domains of a key up to which nodes are grouped by the domain itself, beyond by the count in it."""

_MAX_CODES = 256  # domains of a key up to which counts are looked up by domain, for one decision


def looked_up_by_code(labels: LabelColumn, *, grouped: bool) -> bool:
    return len(labels.values) <= (MAX_GROUPED_DOMAINS if grouped else _MAX_CODES)


def domain_code(labels: LabelColumn, key: str) -> Feature:
    """The domain itself, -1 for a node without the label."""
    return Feature(("code", key), lambda nodes: labels.codes[nodes].astype(np.int64))


def domain_count(snapshot: Snapshot, domains: DomainCounts, labels: LabelColumn) -> Feature:
    """The count in the node's domain, 0 for a node without the label."""

    def at(nodes: Int64) -> Int64:
        found: Int64 = snapshot.pod_counts.domain_column(domains).now()[nodes]
        return found

    return Feature(("domain", id(domains)), at, of_domain=domains, labels=labels)


def counts_by_code(domains: DomainCounts, codes: Codes | Int64) -> Int64:
    """The counts of domains by their code, 0 for code -1."""
    domains.sync()
    counts = np.zeros(max(len(domains.counts), len(domains.index.column.values)) + 1, dtype=np.int64)
    counts[: len(domains.counts)] = domains.counts
    found: Int64 = counts[codes]
    return found
