"""The latencies of a scenario: each hop as constant, lognormal or drawn from samples, over the defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.engine.component import MINUTE, SECOND
from harness.engine.latency import Constant, Empirical, Latencies, Latency, LogNormal
from harness.experiment.forms import LatencyForm
from harness.experiment.scenario import LoadedScenario, amount, duration

_LOST_NS = 45 * SECOND
"""A connection on which nothing comes for so long is closed by its client and made anew, and what was on its way is
sent again. Source: HTTP2_READ_IDLE_TIMEOUT_SECONDS 30 and HTTP2_PING_TIMEOUT_SECONDS 15, apimachinery
pkg/util/net/http.go (1.32)."""

_LONGEST_NS = {"api_call": _LOST_NS, "watch": _LOST_NS, "network": _LOST_NS, "container_start": 2 * MINUTE}
"""Where the tail of a lognormal hop ends, or at its own p99 where that is longer. container_start: the kubelet then
gives the call up and makes it again. Source: KubeletConfiguration runtimeRequestTimeout, 2m."""


def latencies(loaded: LoadedScenario) -> Latencies:
    """The scenario's hops over the defaults. Raises UserError."""
    form = loaded.scenario.spec.latencies
    made = Latencies()
    changes: dict[str, Any] = {}
    for ours, name, theirs in (
        ("api_call", "apiCall", form.api_call),
        ("watch", "watch", form.watch),
        ("network", "network", form.network),
        ("scheduling", "scheduling", form.scheduling),
        ("container_start", "containerStart", form.container_start),
        ("image_pull_base", "imagePull", form.image_pull),
        ("volume_attach", "volumeAttach", form.volume_attach),
        ("volume_detach", "volumeDetach", form.volume_detach),
    ):
        if theirs is not None:
            where = f"spec.latencies.{name}"
            changes[ours] = latency(loaded, theirs, where, _LONGEST_NS.get(ours, 0))
    if form.image_bytes is not None:
        changes["image_bytes"] = amount(loaded, form.image_bytes, "spec.latencies.imageBytes") // 1000
    made = replace(made, **changes)
    if made.window_ns <= 0:
        raise loaded.error("spec.latencies", "apiCall, watch and network must take some time", expected="over 0s")
    return made


def latency(loaded: LoadedScenario, form: str | LatencyForm, where: str, most_ns: int = 0) -> Latency:
    """A duration, or a distribution of durations. Raises UserError."""
    if isinstance(form, str):
        return Constant(duration(loaded, form, where))
    ways = {"constant": form.constant, "median": form.median or form.p99, "samples": form.samples}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise loaded.error(where, "is one thing", found=" and ".join(given), expected=" or ".join(ways))
    if form.constant is not None:
        return Constant(duration(loaded, form.constant, f"{where}.constant"))
    if form.samples:
        return Empirical(
            tuple(duration(loaded, text, f"{where}.samples[{at}]") for at, text in enumerate(form.samples))
        )
    if form.median is None or form.p99 is None:
        raise loaded.error(where, "says nothing", expected="constant, median and p99, or samples")
    p99_ns, median_ns = duration(loaded, form.p99, f"{where}.p99"), duration(loaded, form.median, f"{where}.median")
    if not 0 < median_ns <= p99_ns:
        found = f"median {form.median}, p99 {form.p99}"
        raise loaded.error(where, "no distribution", found=found, expected="a median over 0s, and p99 not below it")
    return LogNormal(
        median_ns,
        p99_ns,
        duration(loaded, form.least, f"{where}.least"),
        max(most_ns, p99_ns) if most_ns else 0,
    )
