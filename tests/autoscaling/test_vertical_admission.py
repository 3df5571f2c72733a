"""What of a recommendation reaches a pod: policies, limits, LimitRanges; and what the API server says of a VPA.

Source of the figures: kubernetes/autoscaler vertical-pod-autoscaler/pkg (1.8) utils/vpa/capping_test.go,
limit_and_request_scaling_test.go, admission-controller/resource/pod/recommendation/recommendation_provider_test.go,
resource/vpa/validation_test.go. Rows left out: nil arguments, and an error of the lister of LimitRanges, which nothing
here can have; resources of container statuses, which differ from the spec's when pods are resized in place.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.apiserver.server import ApiServer
from harness.apiserver.validation.vertical import vertical_problems
from harness.model.core import Container, Pod, PodSpec, ResourceRequirements
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire, to_wire
from harness.model.policy import LimitRange, LimitRangeItem, LimitRangeSpec
from harness.model.quantity import Quantity, parse_quantity
from harness.model.status import ApiError
from harness.model.vertical import (
    ContainerResourcePolicy,
    PodResourcePolicy,
    RecommendedContainerResources,
    RecommendedPodResources,
    VerticalPodAutoscaler,
    VerticalPodAutoscalerSpec,
    VerticalPodAutoscalerStatus,
)
from harness.model.vertical_capping import (
    MOST_UNITS,
    capped_by_policy,
    capped_for_pod,
    fit_pod_range,
    limit_range_item,
    proportional_limit,
    recommended_resources,
    scaled,
)
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

Amounts = dict[str, str]


def amounts(text: str) -> dict[str, Quantity]:
    """'2 200Mi': CPU and memory; '-' where there is none."""
    values = dict(zip(("cpu", "memory"), text.split(), strict=False))
    return {name: parse_quantity(value) for name, value in values.items() if value != "-"}


def milli(found: Any) -> dict[str, int]:
    return {name: amount.milli for name, amount in found.items()}


def pod(requests: str = "", limits: str = "", *others: tuple[str, str]) -> Pod:
    """Containers a, b, .. by (requests, limits)."""
    containers = tuple(
        Container(name="abc"[index], resources=ResourceRequirements(requests=amounts(asks), limits=amounts(most)))
        for index, (asks, most) in enumerate([(requests, limits), *others])
    )
    return Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=PodSpec(containers=containers))


def item(target: str, lower: str = "", upper: str = "", name: str = "a") -> RecommendedContainerResources:
    return RecommendedContainerResources(
        container_name=name, target=amounts(target), lower_bound=amounts(lower), upper_bound=amounts(upper)
    )


def vpa(*items: RecommendedContainerResources, **policy: Any) -> VerticalPodAutoscaler:
    own = PodResourcePolicy(container_policies=(ContainerResourcePolicy(container_name="*", **policy),))
    return VerticalPodAutoscaler(
        spec=VerticalPodAutoscalerSpec(resource_policy=own if policy else None),
        status=VerticalPodAutoscalerStatus(recommendation=RecommendedPodResources(container_recommendations=items)),
    )


def limit_range(kind: str, **fields: str) -> LimitRange:
    made = LimitRangeItem(type=kind, **{name: amounts(text) for name, text in fields.items()})
    return LimitRange(metadata=ObjectMeta(name="r", namespace="default"), spec=LimitRangeSpec(limits=(made,)))


# -- limits in proportion ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", ["cpu", "memory"])
@pytest.mark.parametrize(
    ("limit", "request_", "recommended", "default", "expected", "noted"),
    [
        ("2", "1", "10", "0", "20", False),
        (None, "1", "10", "2", "20", False),
        (None, "1", "10", "0", None, True),
        ("2", None, "10", "0", "10", False),
        (None, "1", "0", "2", None, True),
        ("1", "1", "10", "0", "10", False),
        ("200", "150", "100", "0", {"cpu": "133333m", "memory": "133"}, False),
    ],
)
def test_a_limit_keeps_its_ratio(
    resource: str, limit: str | None, request_: str | None, recommended: str, default: str, expected: Any, noted: bool
) -> None:
    given = [None if text is None else parse_quantity(text) for text in (limit, request_, recommended)]
    found, note = proportional_limit(resource, given[0], given[1], given[2], parse_quantity(default))
    expected = expected.get(resource) if isinstance(expected, dict) else expected
    assert (None if found is None else found.milli) == (None if expected is None else parse_quantity(expected).milli)
    assert bool(note) == noted


def test_a_limit_that_64_bits_do_not_hold_is_capped() -> None:
    huge, tiny = parse_quantity("10G"), parse_quantity("1m")
    found, note = proportional_limit("cpu", huge, tiny, huge, Quantity(0))
    assert found is not None
    assert (found.milli, note) == (MOST_UNITS, "cpu: failed to keep limit to request ratio; capping limit to int64")
    found, note = proportional_limit("memory", huge, tiny, huge, Quantity(0))
    assert found is not None
    assert (found.value, bool(note)) == (MOST_UNITS, True)
    assert scaled("cpu", parse_quantity("1"), Quantity(0), parse_quantity("20")) == parse_quantity("1")


# -- one container -----------------------------------------------------------------------------------------------------

BOTH = {"min_allowed": amounts("1 100Mi"), "max_allowed": amounts("3 1Gi")}
NARROW = {"min_allowed": amounts("4 300Mi"), "max_allowed": amounts("5 1Gi")}


@pytest.mark.parametrize(
    ("pods", "given", "requests", "limits", "notes"),
    [
        (pod(), vpa(item("2 200Mi"), **BOTH), "2 200Mi", "", []),
        (pod(), vpa(item("3 150Mi"), **NARROW), "4 300Mi", "", ["cpu capped to minAllowed", "memory capped to minAllowed"]),  # noqa: E501
        (pod(), vpa(item("7 2Gi"), **NARROW), "5 1Gi", "", ["cpu capped to maxAllowed", "memory capped to maxAllowed"]),
        (pod("2 100Mi"), vpa(item("2 200Mi"), **BOTH), "2 200Mi", "", []),
        (pod("2 100Mi"), vpa(item("2 1000Mi"), max_allowed=amounts("3 3Gi")), "2 1000Mi", "", []),
        (pod("2 100Mi"), vpa(**BOTH), "", "", []),
        (pod("2 200Mi", "2 200Mi"), vpa(item("2 200Mi")), "2 200Mi", "2 200Mi", []),
        (pod("", "2 200Mi"), vpa(item("2 200Mi")), "2 200Mi", "2 200Mi", []),
        (pod("1 100Mi", "2 200Mi"), vpa(item("2 200Mi")), "2 200Mi", "4 400Mi", []),
        (pod("1 100Mi", "2 200Mi"), vpa(item("2 200Mi"), controlled_values="RequestsAndLimits"), "2 200Mi", "4 400Mi", []),  # noqa: E501
        (pod("1 100Mi", "2 200Mi"), vpa(item("2 200Mi"), controlled_values="RequestsOnly"), "2 200Mi", "", []),
        (
            pod("1 100Mi", "2 200Mi"),
            vpa(item("3 500Mi"), controlled_values="RequestsOnly"),
            "2 200Mi",
            "",
            ["cpu capped to container limit", "memory capped to container limit"],
        ),
        (pod("1 1M", "10 10M"), vpa(item("2")), "2", "20", []),
        (pod("1 1M", "10 10M"), vpa(item("- 2M")), "- 2M", "- 20M", []),
        (pod("1 -", "10 -"), vpa(item("2"), controlled_values="RequestsOnly"), "2", "", []),
    ],
)  # fmt: skip
def test_what_a_container_gets(
    pods: Pod, given: VerticalPodAutoscaler, requests: str, limits: str, notes: list[str]
) -> None:
    capped, told = capped_for_pod(given, pods, ())
    found, most, more = recommended_resources(pods.spec.containers[0], given, capped, {})
    assert (milli(found), milli(most)) == (milli(amounts(requests)), milli(amounts(limits)))
    assert told.get("a", []) == notes
    assert not [note for note in more if "int64" in note]


def test_the_default_limit_of_a_limit_range() -> None:
    given = vpa(item("2 200Mi"))
    _, most, _ = recommended_resources(pod("2 100Mi").spec.containers[0], given, given.status.recommendation, amounts("2 100Mi"))  # fmt: skip  # noqa: E501
    assert milli(most) == milli(amounts("2 200Mi"))


def test_a_pod_without_recommendation_and_policy() -> None:
    assert capped_for_pod(VerticalPodAutoscaler(), pod("1 1Gi"), ()) == (None, {})
    other = vpa(item("100m 50000Mi", name="other"))
    assert capped_for_pod(other, pod("1 1Gi"), ()) == (RecommendedPodResources(), {})


def test_bounds_are_capped_as_the_target_is() -> None:
    policy = {"min_allowed": amounts("400 40k"), "max_allowed": amounts("450 45k")}
    capped, told = capped_for_pod(vpa(item("300 50k", "200 43k", "500 55k"), **policy), pod(), ())
    assert capped is not None
    (found,) = capped.container_recommendations
    assert milli(found.target) == milli(amounts("400 45k"))
    assert milli(found.lower_bound) == milli(amounts("400 43k"))
    assert milli(found.upper_bound) == milli(amounts("450 45k"))
    assert told == {"a": ["cpu capped to minAllowed", "memory capped to maxAllowed"]}


@pytest.mark.parametrize(
    ("policy", "most", "target", "lower", "upper"),
    [
        ({}, "", "42m 42Mi", "31m 31Mi", "53m 53Mi"),
        ({"min_allowed": amounts("50m 50Mi")}, "", "50m 50Mi", "50m 50Mi", "53m 53Mi"),
        ({"max_allowed": amounts("40m 40Mi")}, "", "40m 40Mi", "31m 31Mi", "40m 40Mi"),
        ({}, "40m 40Mi", "40m 40Mi", "31m 31Mi", "40m 40Mi"),
        ({"min_allowed": amounts("35m 35Mi")}, "50m 50Mi", "42m 42Mi", "35m 35Mi", "50m 50Mi"),
        ({"max_allowed": amounts("40m")}, "- 40Mi", "40m 40Mi", "31m 31Mi", "40m 40Mi"),
        ({"max_allowed": amounts("40m")}, "30m 30Mi", "40m 30Mi", "31m 30Mi", "40m 30Mi"),
    ],
)
def test_what_the_recommender_writes_is_within_policies(
    policy: dict[str, Any], most: str, target: str, lower: str, upper: str
) -> None:
    given = vpa(item("42m 42Mi", "31m 31Mi", "53m 53Mi"), **policy)
    assert given.status.recommendation is not None
    found = capped_by_policy(given.status.recommendation, given.spec.resource_policy, amounts(most))
    (capped,) = found.container_recommendations
    bounds = (capped.target, capped.lower_bound, capped.upper_bound)
    assert [milli(bound) for bound in bounds] == [milli(amounts(text)) for text in (target, lower, upper)]


# -- LimitRanges -------------------------------------------------------------------------------------------------------


def test_the_limit_range_of_containers() -> None:
    given = limit_range("Container", max="1", min="- 500M")
    capped, told = capped_for_pod(vpa(item("2 200M")), pod("1 1G", "1 1G"), (given,))
    assert capped is not None
    assert milli(capped.container_recommendations[0].target) == milli(amounts("1 500M"))
    fits = ["cpu capped to fit Max in container LimitRange", "memory capped to fit Min in container LimitRange"]
    assert told == {"a": fits}


@pytest.mark.parametrize(
    ("resource", "targets", "containers", "bounds", "expected"),
    [
        ("cpu", "1 1", [("1", "1"), ("1", "1")], {"max": "1"}, "500m 500m"),
        ("memory", "1G 1G", [("- 1", "- 1"), ("- 1", "- 1")], {"min": "- 4G"}, "2G 2G"),
        ("memory", "1G 1G", [("- 1", "- 2"), ("- 1", "- 2")], {"max": "- 10G", "min": "- 4G"}, "2G 2G"),
        ("memory", "1G", [("- 1G", "- 2G"), ("- 1G", "- 2G")], {"max": "- 10G", "min": "- 4G"}, "2G"),
        ("cpu", "15m 100m", [("1m", "1m"), ("1m", "1m")], {"min": "150m"}, "20m 131m"),
        ("cpu", "15m 100m", [("1m", "1m"), ("1m", "1m")], {"max": "90m"}, "11m 78m"),
    ],
)
def test_the_limit_range_of_pods(
    resource: str, targets: str, containers: list[tuple[str, str]], bounds: dict[str, str], expected: str
) -> None:
    items = [
        RecommendedContainerResources(container_name=name, target={resource: parse_quantity(text)})
        for name, text in zip("ab", targets.split(), strict=False)
    ]
    range_item = limit_range_item((limit_range("Pod", **bounds),), "Pod")
    assert range_item is not None
    found = fit_pod_range(items, pod(*containers[0], *containers[1:]), range_item, resource, "target")
    assert [one.target[resource].milli for one in found] == [parse_quantity(text).milli for text in expected.split()]


def test_a_recommendation_for_no_container_stays_as_it_is() -> None:
    items = [item("- 1G"), item("- 1G", name="gone")]
    range_item = limit_range_item((limit_range("Pod", max="- 10G", min="- 4G"),), "Pod")
    assert range_item is not None
    found = fit_pod_range(items, pod("- 1", "- 2"), range_item, "memory", "target")
    assert [one.target["memory"].value for one in found] == [4 * 10**9, 10**9]


def test_several_limit_ranges_in_one() -> None:
    found = limit_range_item(
        (limit_range("Pod", max="4 4Gi", min="1"), limit_range("Pod", max="2 8Gi", min="500m 1Gi")), "Pod"
    )
    assert found is not None
    assert (milli(found.max), milli(found.min)) == (milli(amounts("2 4Gi")), milli(amounts("1 1Gi")))
    assert limit_range_item((limit_range("Pod", max="1"),), "Container") is None


# -- through the API server --------------------------------------------------------------------------------------------


def wire(**spec: Any) -> VerticalPodAutoscaler:
    target = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"}
    made: VerticalPodAutoscaler = from_wire(
        {
            "apiVersion": "autoscaling.k8s.io/v1",
            "kind": "VerticalPodAutoscaler",
            "metadata": {"name": "v", "namespace": "default"},
            "spec": {"targetRef": target, **spec},
        }
    )
    return made


def of_containers(**policy: Any) -> dict[str, Any]:
    return {"resourcePolicy": {"containerPolicies": [{"containerName": "a", **policy}]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"targetRef": None}, "spec.targetRef: Required value"),
        ({"targetRef": {"kind": "Node", "name": "n"}}, "spec.targetRef.kind: Unsupported value"),
        ({"updatePolicy": {}}, "Required value: updateMode is required if UpdatePolicy is used"),
        ({"updatePolicy": {"updateMode": "Sometimes"}}, 'Unsupported value: "Sometimes"'),
        ({"updatePolicy": {"updateMode": "InPlaceOrRecreate"}}, "InPlaceOrRecreate is not modelled"),
        ({"updatePolicy": {"updateMode": "InPlace"}}, "InPlace is not modelled"),
        ({"updatePolicy": {"updateMode": "Off", "minReplicas": 0}}, "minReplicas has to be positive"),
        ({"updatePolicy": {"updateMode": "Off", "evictAfterOOMSeconds": 5}}, "feature flag PerVPAConfig is disabled"),
        (of_containers(containerName=""), "containerPolicies[0].containerName: Required value"),
        (of_containers(mode='On'), 'Unsupported value: "On"'),
        (
            of_containers(minAllowed={'cpu': 2}, maxAllowed={'cpu': 1}),
            'max resource for cpu is lower than min of "2"',
        ),
        (
            of_containers(minAllowed={'memory': '1m'}),
            "must be a whole number of bytes",
        ),
        (
            of_containers(mode='Off', controlledValues='RequestsAndLimits'),
            "controlledValues shouldn't be specified if container scaling mode is off",
        ),
        (
            of_containers(controlledResources=['nvidia.com/gpu']),
            'Unsupported value: "nvidia.com/gpu"',
        ),
        (
            of_containers(oomBumpUpRatio='2'),
            "feature flag PerVPAConfig is disabled",
        ),
        ({"startupBoost": {"cpu": {"factor": 2}}}, "feature flag CPUStartupBoost is disabled"),
        ({"recommenders": [{"name": "default"}, {"name": "default"}]}, "Too many: 2: must have at most 1 item"),
        ({"recommenders": [{"name": "mine"}]}, 'Unsupported value: "mine"'),
    ],
)  # fmt: skip
def test_what_is_refused(spec: dict[str, Any], expected: str) -> None:
    causes = [f"{cause.field}: {cause.message}" for cause in vertical_problems(wire(**spec), None)]
    assert len(causes) == 1
    assert expected in causes[0]


def server_with(given: VerticalPodAutoscaler, *items: RecommendedContainerResources) -> ApiServer:
    """With a ReplicaSet that the VPA is for, and what the VPA recommends."""
    server = ApiServer(MemoryStore(ObjectCodec()))
    web = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        },
    }
    server.create(from_wire(web))
    made = server.create(given)
    told = RecommendedPodResources(container_recommendations=items)
    data = to_wire(made)
    data["status"] = to_wire(VerticalPodAutoscaler(status=VerticalPodAutoscalerStatus(recommendation=told)))["status"]
    server.update(from_wire(data), subresource="status")
    return server


def create_pod(server: ApiServer, *, owner: str = "web", labels: dict[str, str] | None = None) -> Pod:
    uid = server.get("ReplicaSet", "default", "web").metadata.uid
    refs = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": uid, "controller": True}]
    asks = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    data = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-", "namespace": "default", "labels": labels or {"app": "web"}, "ownerReferences": refs,
        },
        "spec": {"containers": [{"name": "a", "image": "a", "resources": asks}, {"name": "b", "image": "b"}]},
    }  # fmt: skip
    made: Pod = server.create(from_wire(data))
    return made


def test_a_new_pod_gets_what_is_recommended() -> None:
    made = create_pod(server_with(wire(), item("100m 200Mi")))
    first, second = made.spec.containers
    assert (milli(first.resources.requests), milli(first.resources.limits)) == (
        milli(amounts("100m 200Mi")),
        milli(amounts("200m 200Mi")),
    )
    assert second.resources == ResourceRequirements()
    assert made.metadata.annotations["vpaObservedContainers"] == "a, b"
    assert made.metadata.annotations["vpaUpdates"] == (
        "Pod resources updated by v: container 0: cpu request, memory request, cpu limit, memory limit"
    )


@pytest.mark.parametrize(("mode", "changed"), [("Off", False), ("Initial", True), ("Recreate", True), ("Auto", True)])
def test_modes_in_which_new_pods_are_changed(mode: str, changed: bool) -> None:
    made = create_pod(server_with(wire(updatePolicy={"updateMode": mode}), item("100m 200Mi")))
    assert ("vpaUpdates" in made.metadata.annotations) == changed


def test_pods_of_others_stay_as_they_are() -> None:
    server = server_with(wire(), item("100m 200Mi"))
    for made in (create_pod(server, labels={"app": "other"}), create_pod(server, owner="gone")):
        assert "vpaUpdates" not in made.metadata.annotations


def test_a_recommendation_that_changes_counts_for_the_next_pod() -> None:
    server = server_with(wire(), item("100m 200Mi"))
    create_pod(server)
    data = to_wire(server.get("VerticalPodAutoscaler", "default", "v"))
    data["status"]["recommendation"]["containerRecommendations"][0]["target"]["cpu"] = "300m"
    server.update(from_wire(data), subresource="status")
    assert create_pod(server).spec.containers[0].resources.requests["cpu"].milli == 300
    server.delete("VerticalPodAutoscaler", "default", "v")
    assert create_pod(server).spec.containers[0].resources.requests["cpu"].milli == 1000


def test_of_two_vpas_the_older_decides() -> None:
    server = server_with(wire(), item("100m 200Mi"))
    server.now += 10**9
    server.create(from_wire({**to_wire(wire()), "metadata": {"name": "a", "namespace": "default"}}))
    assert "updated by v" in create_pod(server).metadata.annotations["vpaUpdates"]


def test_a_pod_that_its_limit_range_would_refuse_is_made_to_fit() -> None:
    server = server_with(wire(), item("3 200Mi"))
    server.create(limit_range("Container", max="4 4Gi"))
    made = create_pod(server)
    assert made.spec.containers[0].resources.limits["cpu"].milli == 4000
    assert "cpu capped to fit Max in container LimitRange" in made.metadata.annotations["vpaUpdates"]


def test_a_vpa_has_an_update_policy_by_default() -> None:
    server = server_with(wire(), item("1 1Gi"))
    made = server.get("VerticalPodAutoscaler", "default", "v")
    assert made.update_mode == "Recreate"
    with pytest.raises(ApiError, match="InPlace is not modelled"):
        server.update(from_wire({**to_wire(made), "spec": {**to_wire(made)["spec"], "updatePolicy": {"updateMode": "InPlace"}}}))  # fmt: skip  # noqa: E501
