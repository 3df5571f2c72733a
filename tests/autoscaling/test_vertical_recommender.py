"""The vertical pod autoscaler's recommender against the figures of its own unit tests.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/recommender (1.8) util/histogram_test.go,
histogram_options_test.go, decaying_histogram_test.go, logic/estimator_test.go, recommender_test.go,
model/container_test.go.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.autoscaling.vertical.estimator import (
    PodEstimator,
    percentile_of,
    whole_cores,
    with_confidence,
    with_margin,
    with_minimum,
)
from harness.autoscaling.vertical.histogram import DecayingHistogram, ExponentialBuckets, LinearBuckets
from harness.autoscaling.vertical.settings import DAY, RecommenderSettings, UpdaterSettings, parse_settings
from harness.autoscaling.vertical.usage_history import (
    CPU_BUCKETS,
    MEMORY_BUCKETS,
    ContainerUsage,
    UsageHistory,
    new_history,
)
from harness.engine.component import HOUR, MINUTE, SECOND
from harness.model.errors import UserError
from harness.model.quantity import parse_quantity
from harness.model.vertical import (
    ContainerResourcePolicy,
    HistogramCheckpoint,
    PodResourcePolicy,
    RecommendedContainerResources,
    RecommendedPodResources,
)

TINY = 1e-15
TEN = LinearBuckets(10.0, 1.0, TINY)
BEGIN = 1_234_567_890 * SECOND
SETTINGS = RecommenderSettings()
MB = 1024 * 1024


def linear(*samples: tuple[float, float], half_life_ns: int = 0) -> DecayingHistogram:
    """(value, weight), one half-life apart."""
    made = DecayingHistogram(TEN, half_life_ns)
    for turn, (value, weight) in enumerate(samples):
        made.add(value, weight, BEGIN + turn * half_life_ns)
    return made


# -- histograms --------------------------------------------------------------------------------------------------------


def test_linear_buckets() -> None:
    made = LinearBuckets(5.0, 0.3, 0.001)
    assert made.count == 18
    assert [made.start(0), made.start(17)] == [0.0, pytest.approx(5.1)]
    assert [made.index(value) for value in (-1.0, 0.0, 1.3, 100.0)] == [0, 0, 4, 17]


def test_exponential_buckets() -> None:
    made = ExponentialBuckets(500.0, 40.0, 1.5, 0.001)
    assert made.count == 6
    assert [made.start(bucket) for bucket in range(6)] == [0.0, 40.0, 100.0, 190.0, 325.0, 527.5]
    assert [made.index(value) for value in (-1.0, 39.99, 40.0, 100.0, 900.0)] == [0, 0, 1, 2, 5]


def test_the_published_bucket_schemes() -> None:
    assert CPU_BUCKETS.start(1) == 0.01
    assert MEMORY_BUCKETS.start(1) == 1e7
    assert CPU_BUCKETS.start(CPU_BUCKETS.count - 1) >= 1000.0
    assert MEMORY_BUCKETS.start(MEMORY_BUCKETS.count - 1) >= 1e12


def test_an_empty_histogram_has_no_percentiles() -> None:
    for half_life_ns in (0, HOUR):
        made = linear(half_life_ns=half_life_ns)
        assert [made.percentile(share) for share in (-0.5, 0.0, 0.5, 1.0, 1.5)] == [0.0] * 5


def test_percentiles() -> None:
    made = linear((1, 1), (2, 2), (3, 3), (4, 4))
    shares = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert [made.percentile(share) for share in shares] == [2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5]


def test_percentiles_out_of_bounds() -> None:
    made = DecayingHistogram(LinearBuckets(1.0, 0.1, TINY))
    made.add(0.1, 0.1, 0)
    made.add(0.2, 0.2, 0)
    assert [made.percentile(-0.1), made.percentile(1.1)] == pytest.approx([0.2, 0.3])
    made.add(0.0, 0.1, 0)
    made.add(1.0, 0.2, 0)
    assert [made.percentile(-0.1), made.percentile(1.1)] == pytest.approx([0.1, 1.0])


def test_when_a_histogram_is_empty() -> None:
    made = DecayingHistogram(LinearBuckets(1.0, 0.1, TINY))
    assert made.is_empty
    made.add(0.1, TINY * 2.5, 0)
    assert not made.is_empty
    made.subtract(0.1, TINY, 0)
    assert not made.is_empty
    made.subtract(0.1, TINY, 0)
    assert made.is_empty


def test_what_weighs_less_than_epsilon_is_passed_over() -> None:
    made = DecayingHistogram(LinearBuckets(1.0, 0.1, TINY))
    made.add(9.9, TINY * 3, 0)
    made.add(0.1, TINY * 0.3, 0)
    made.add(999.9, TINY * 0.3, 0)
    assert not made.is_empty


def test_a_large_weight_decays() -> None:
    made = DecayingHistogram(TEN, HOUR)
    made.add(2, 1000, BEGIN)
    made.add(1, 1, BEGIN + 20 * HOUR)
    assert [made.percentile(0.999), made.percentile(1.0)] == [2, 3]
    made = DecayingHistogram(TEN, HOUR)
    made.add(2, 1, BEGIN)
    made.add(1, 1, BEGIN + 101 * HOUR)
    assert made.percentile(1.0) == 2


def test_percentiles_of_what_decays() -> None:
    made = linear((1, 1), (2, 2), (3, 3), (4, 4), half_life_ns=HOUR)
    shares = (0.00, 0.02, 0.03, 0.10, 0.11, 0.34, 0.35, 1.00)
    assert [made.percentile(share) for share in shares] == [2, 2, 3, 3, 4, 4, 5, 5]


def test_merged_histograms_are_as_if_all_had_been_added_to_one() -> None:
    one, other, both = (DecayingHistogram(TEN, HOUR) for _ in range(3))
    samples = [(one, 1, 0), (one, 2, 1), (other, 2, 2), (other, 3, 1)]
    for into, value, hours in samples:
        into.add(value, 1, BEGIN + hours * HOUR)
    for _, value, hours in sorted(samples, key=lambda item: -item[2]):
        both.add(value, 1, BEGIN + hours * HOUR)
    one.merge(other)
    assert one.reference_ns == both.reference_ns
    assert one.weights == pytest.approx(both.weights)


def test_checkpoints() -> None:
    assert linear().checkpoint() == HistogramCheckpoint()
    assert linear((1, 1)).checkpoint() == HistogramCheckpoint(bucket_weights={"1": 10_000}, total_weight=1.0)
    small = linear((1, 1), (2, 100_000)).checkpoint()
    assert (small.bucket_weights, small.total_weight) == ({"2": 10_000}, 100_001.0)
    three = linear((1, 1), (2, 10_000), (3, 50)).checkpoint()
    assert (three.bucket_weights, three.total_weight) == ({"1": 1, "2": 10_000, "3": 50}, 10_051.0)
    made = linear()
    made.load(HistogramCheckpoint(bucket_weights={"0": 1, "1": 2}, total_weight=6.0))
    assert (made.weights, made.total) == ({0: 2.0, 1: 4.0}, 6.0)
    for wrong in ({"-1": 1}, {"99": 1}):
        with pytest.raises(ValueError, match="that is none of 11"):
            linear().load(HistogramCheckpoint(bucket_weights=wrong, total_weight=1.0))
    with pytest.raises(ValueError, match="negative weight"):
        linear().load(HistogramCheckpoint(total_weight=-1.0))


def test_a_checkpoint_with_weights_at_the_bounds_is_not_empty() -> None:
    made = linear((1, TINY), (2, 10_000 * TINY - TINY))
    again = linear()
    again.load(made.checkpoint())
    assert not again.is_empty


@given(st.lists(st.tuples(st.floats(0, 2000), st.integers(0, 20 * 24 * 60)), min_size=1, max_size=30))
def test_a_loaded_checkpoint_has_the_shares_of_what_was_saved(samples: list[tuple[float, int]]) -> None:
    made = new_history(SETTINGS)
    for cores, minute in sorted(samples, key=lambda item: item[1]):
        made.add_cpu(int(cores * 1000), minute * MINUTE)
    again = new_history(SETTINGS)
    again.load(made.checkpoint(0))
    assert (again.samples, again.first_ns, again.last_ns) == (made.samples, made.first_ns, made.last_ns)
    assert again.cpu.total == pytest.approx(made.cpu.total)
    for bucket, weight in made.cpu.weights.items():
        share = again.cpu.weights.get(bucket, 0.0) / again.cpu.total
        assert share == pytest.approx(weight / made.cpu.total, abs=1e-4 * len(made.cpu.weights))


# -- containers --------------------------------------------------------------------------------------------------------


class Journal(DecayingHistogram):
    """Keeps what is added and taken out: (sign, value, hours after BEGIN)."""

    def __init__(self) -> None:
        super().__init__(MEMORY_BUCKETS, DAY)
        self.told: list[tuple[str, float, float]] = []

    def add(self, value: float, weight: float, at_ns: int) -> None:
        self.told.append(("+", value, (at_ns - BEGIN) / HOUR))

    def subtract(self, value: float, weight: float, at_ns: int) -> None:
        self.told.append(("-", value, (at_ns - BEGIN) / HOUR))


def container(**settings: Any) -> tuple[ContainerUsage, list[tuple[str, float, float]]]:
    journal, chosen = Journal(), RecommenderSettings(**settings)
    return ContainerUsage(UsageHistory(DecayingHistogram(CPU_BUCKETS, DAY), journal), chosen), journal.told


def test_samples_of_a_container() -> None:
    made, told = container()
    for hours, milli, memory in ((0, 3140, 5), (12, 6280, 10), (24, 1570, 2)):
        assert made.add_cpu(milli, BEGIN + hours * HOUR)
        assert made.add_memory(memory, BEGIN + hours * HOUR)
    assert told == [("+", 5.0, 24), ("-", 5.0, 24), ("+", 10.0, 24), ("+", 2.0, 48)]
    assert not made.add_cpu(1000, BEGIN + 24 * HOUR)
    assert not made.add_cpu(-1000, BEGIN + 48 * HOUR)
    assert not made.add_memory(-1000, BEGIN + 48 * HOUR)
    assert made.history.samples == 3


@pytest.mark.parametrize(
    ("before", "ooms", "expected"),
    [
        ((), [(0, 1000)], [("+", 1200.0, 24)]),
        (
            (),
            [(0, 1000), (0, 999), (0, 999), (0, 2000)],
            [("+", 1200.0, 24), ("-", 1200.0, 24), ("+", 2400.0, 24)],
        ),
        ((), [(0, 1)], [("+", 101.0, 24)]),
        (((0, 3000),), [(0, 1000)], [("+", 3000.0, 24), ("-", 3000.0, 24), ("+", 3600.0, 24)]),
        (((0, 1000),), [(-30, 1000)], [("+", 1000.0, 24)]),
        (((0, 2000),), [(48, 1000)], [("+", 2000.0, 24), ("+", 2400.0, 72)]),
        (
            ((0, 100), (24, 2000)),
            [(24 - 1 / 3600, 1000)],
            [("+", 100.0, 24), ("+", 2000.0, 48), ("-", 2000.0, 48), ("+", 2400.0, 48)],
        ),
    ],
    ids=["by 20 %", "no run-away", "by 100 MiB", "above what was seen", "too old", "a new window", "near a boundary"],
)
def test_a_container_killed_for_its_memory(
    before: tuple[tuple[float, int], ...], ooms: list[tuple[float, int]], expected: list[tuple[str, float, float]]
) -> None:
    """Hours after the first sample and MB."""
    made, told = container()
    for hours, size in before:
        made.add_memory(size * MB, BEGIN + round(hours * HOUR))
    for hours, size in ooms:
        made.record_oom(size * MB, BEGIN + round(hours * HOUR))
    assert told == [(sign, size * MB, hours) for sign, size, hours in expected]


def test_another_aggregation_interval() -> None:
    made, told = container(memory_aggregation_interval_ns=HOUR)
    made.add_memory(5, BEGIN)
    made.add_memory(10, BEGIN + 30 * MINUTE)
    made.add_memory(7, BEGIN + 2 * HOUR)
    assert told == [("+", 5.0, 1), ("-", 5.0, 1), ("+", 10.0, 1), ("+", 7.0, 3)]
    assert not made.record_oom(1000 * MB, BEGIN)


# -- estimates ---------------------------------------------------------------------------------------------------------


def test_percentiles_of_usage() -> None:
    history = UsageHistory(DecayingHistogram(CPU_BUCKETS), DecayingHistogram(MEMORY_BUCKETS))
    for amount in (1, 2, 3):
        history.cpu.add(float(amount), 1.0, 0)
        history.memory.add(amount * 1e9, 1.0, 0)
    assert percentile_of("cpu", 0.2)(history) / 1000 == pytest.approx(1.0, rel=0.05)
    assert percentile_of("memory", 0.5)(history) == pytest.approx(2e9, rel=0.05)


def sampled(count: int) -> UsageHistory:
    """One core, every two minutes."""
    history = new_history(SETTINGS)
    for turn in range(count):
        history.add_cpu(1000, turn * 2 * MINUTE)
    return history


@pytest.mark.parametrize(
    ("factors", "base", "samples", "interval_ns", "expected"),
    [
        ((1.0, 1.0), 3140, 0, DAY, 10**14),
        ((1.0, -1.0), 3140, 0, DAY, 0),
        ((0.1, 2.0), 3140, 0, DAY, 10**14),
        ((0.1, 2.0), 3140, 9, DAY, 907_460),
        ((0.1, 2.0), 3_140_000_000, 9, DAY, 907_460_000_000),
        ((0.1, 2.0), 3140, 9, 18 * MINUTE, 4521),
        ((0.1, 2.0), 3_140_000_000, 9, 18 * MINUTE, 4_521_600_000),
    ],
)
def test_confidence(factors: tuple[float, float], base: int, samples: int, interval_ns: int, expected: int) -> None:
    assert with_confidence(*factors, lambda _: base, interval_ns)(sampled(samples)) == expected


def test_confidence_is_counted_by_time_and_by_samples() -> None:
    assert sampled(9).confidence(DAY) == 0.00625
    assert sampled(9).confidence(18 * MINUTE) == 0.5


def test_margin_and_minimum() -> None:
    history = sampled(0)
    assert with_margin(0.1, lambda _: 3140)(history) == 3454
    assert with_margin(0.1, lambda _: 3_140_000_000)(history) == 3_454_000_000
    assert with_minimum(200, lambda _: 3140)(history) == 3140
    assert with_minimum(20_000_000, lambda _: 400_000_000)(history) == 400_000_000


def test_the_minimum_of_a_pod_is_shared_by_its_containers() -> None:
    found = PodEstimator(SETTINGS).recommend({"a": sampled(0)}, None).container_recommendations
    assert {name: str(amount) for name, amount in found[0].target.items()} == {"cpu": "25m", "memory": "250Mi"}
    found = PodEstimator(SETTINGS).recommend({"b": sampled(0), "a": sampled(0)}, None).container_recommendations
    assert [item.container_name for item in found] == ["a", "b"]
    assert {item.target["cpu"].milli for item in found} == {12}
    assert {item.target["memory"].value for item in found} == {125 * MB}


def test_resources_that_are_not_controlled_have_no_recommendation() -> None:
    policy = PodResourcePolicy(
        container_policies=(ContainerResourcePolicy(container_name="*", controlled_resources=("memory",)),)
    )
    item = PodEstimator(SETTINGS).recommend({"a": sampled(9)}, policy).container_recommendations[0]
    assert [set(item.target), set(item.lower_bound), set(item.upper_bound)] == [{"memory"}] * 3


def test_bounds_close_in_on_the_target_as_history_grows() -> None:
    """The multipliers that recommender.go lists: below, 0.6 after 5 min, 0.9 after 30, 0.95 after an hour."""
    estimates = PodEstimator(SETTINGS).estimates
    for minutes, share in ((5, 0.6), (30, 0.9), (60, 0.95)):
        history = new_history(SETTINGS)
        for minute in range(minutes + 1):
            history.add_cpu(1000, minute * MINUTE)
        whole = with_margin(0.15, percentile_of("cpu", 0.5))(history)
        assert estimates["lower_bound"]["cpu"](history) / whole == pytest.approx(share, abs=0.03)
        wider = whole * (1 + DAY / (minutes * MINUTE))
        assert estimates["upper_bound"]["cpu"](history) == pytest.approx(wider, rel=0.01)


def test_whole_cores_where_a_vpa_says_so() -> None:
    item = RecommendedContainerResources(container_name="a", target={"cpu": parse_quantity("1200m")})
    given = RecommendedPodResources(container_recommendations=(item,))
    key = "vpa-post-processor.kubernetes.io/a_integerCPU"
    assert str(whole_cores(given, {key: "true"}).container_recommendations[0].target["cpu"]) == "2"
    assert whole_cores(given, {key: "yes"}) == given


# -- flags -------------------------------------------------------------------------------------------------------------


def test_flags_have_their_own_names() -> None:
    made = parse_settings(RecommenderSettings, "vpa-recommender", {"target-cpu-percentile": 0.8, "memory_aggregation_interval": "1h"})  # fmt: skip  # noqa: E501
    assert (made.target_cpu, made.memory_aggregation_interval_ns) == (0.8, HOUR)


@pytest.mark.parametrize(
    ("of", "flag", "value", "words"),
    [
        (RecommenderSettings, "storage", "prometheus", "storage is not modelled"),
        (RecommenderSettings, "target-cpu", 1, "no such flag"),
        (RecommenderSettings, "target-cpu-percentile", 90, "expected 0 or more, 1 at most"),
        (RecommenderSettings, "oom-bump-up-ratio", "inf", "expected a finite number"),
        (RecommenderSettings, "recommender-interval", "0s", "expected 1ms or more"),
        (UpdaterSettings, "updater-interval", "1us", "expected 1ms or more"),
        (UpdaterSettings, "eviction-tolerance", "much", "could not convert"),
        (UpdaterSettings, "in-place-skip-disruption-budget", True, "is not modelled"),
    ],
)
def test_flags_that_are_refused(of: Any, flag: str, value: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_settings(of, "vpa", {flag: value})
