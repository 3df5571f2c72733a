"""Images that cannot be had: what pods wait for, in which words, and how they go on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from harness.apiserver.http.containers.logs import LogOptions, read
from harness.engine.component import SECOND, DisturbRegistry
from harness.model.core import Container, Node, Pod, PodSpec
from harness.model.faults import ContainerCrash, Crash, PullsFail
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.node.images import Images, malformed, refused, registry_of
from tests.node.rig import IMAGE, Rig

OTHER = "registry.k8s.io/e2e-test-images/agnhost:2.53"


def start(rig: Rig, image: str = OTHER, *, name: str = "a", policy: str = "IfNotPresent", probe: bool = False) -> None:
    containers = [Container(name="main", image=image, image_pull_policy=policy)]
    if probe:
        containers.append(Container(name="beside", image=IMAGE, image_pull_policy="IfNotPresent"))
    made = rig.server.create(
        Pod(
            metadata=ObjectMeta(name=name, namespace="default"),
            spec=PodSpec(restart_policy="Always", containers=tuple(containers)),
        )
    )
    rig.server.bind("default", name, made.metadata.uid, "n0", {})
    rig.cluster.api.flush(rig.server.now)


def outage(rig: Rig, for_s: int, *images: str, does: str = "unavailable") -> None:
    rig.cluster._machines(rig.cluster.now, DisturbRegistry(images, does, for_s * SECOND))


def waiting(rig: Rig, name: str = "a") -> tuple[str, str]:
    pod = rig.get(name)
    assert pod is not None
    state = next(item.state for item in pod.status.container_statuses if item.name == "main").waiting
    return ("", "") if state is None else (state.reason, state.message)


def told(rig: Rig, reason: str) -> dict[str, int]:
    return {event.message: event.count or 1 for event in rig.server.listed("Event") if event.reason == reason}


@pytest.mark.parametrize("probe", [False, True])
def test_a_pull_that_fails_is_tried_again_after_a_wait_that_doubles(probe: bool) -> None:
    rig = Rig()
    outage(rig, 200)
    rig.run(2)
    start(rig, probe=probe)
    rig.run(2.7)
    why = refused(OTHER, "unavailable")
    assert waiting(rig) == ("ErrImagePull", why)
    seen: list[str] = []
    for quarter in range(11, 1600):
        rig.run(quarter / 4)
        reason = waiting(rig)[0]
        if seen[-1:] != [reason]:
            seen.append(reason)
    # Asked at 2 s, then after 10, 20, 40, 80 and 160 s, each at the next look that comes every 10 to 15 s.
    assert seen == [*(["ErrImagePull", "ImagePullBackOff"] * 5), ""]
    assert rig.ready()
    assert told(rig, "Pulling")[f'Pulling image "{OTHER}"'] == 6
    failed = told(rig, "Failed")
    assert failed[f'Failed to pull image "{OTHER}": {why}'] == failed["Error: ErrImagePull"] == 5
    backoff = told(rig, "BackOff")[f'Back-off pulling image "{OTHER}"']
    assert failed["Error: ImagePullBackOff"] == backoff > 8
    assert list(told(rig, "Pulled"))[-1].startswith("Successfully pulled image")


def test_the_message_of_a_back_off() -> None:
    rig = Rig()
    outage(rig, 200, "registry.k8s.io/e2e-*", does="notFound")
    rig.run(2)
    start(rig)
    rig.run(5)
    why = (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{OTHER}": '
        f'failed to resolve reference "{OTHER}": {OTHER}: not found'
    )
    assert waiting(rig) == ("ImagePullBackOff", f'Back-off pulling image "{OTHER}": ErrImagePull: {why}')


def test_logs_of_a_container_that_waits_for_its_image() -> None:
    """Source: pkg/kubelet/kubelet_pods.go validateContainerLogStatus (1.32)."""
    rig = Rig()
    outage(rig, 200)
    rig.run(2)
    start(rig)
    for until_s, why in ((2.7, "image can't be pulled"), (5, "trying and failing to pull image")):
        rig.run(until_s)
        with pytest.raises(ApiError) as told:
            read(rig.server, "default", "a", LogOptions(), 0)
        assert str(told.value).endswith(f'container "main" in pod "a" is waiting to start: {why}')


def test_what_is_on_the_disk_is_there_unless_it_is_always_pulled() -> None:
    rig = Rig()
    start(rig, IMAGE, name="first", policy="Always")
    rig.run(5)
    outage(rig, 20)
    rig.run(6)
    start(rig, IMAGE)
    start(rig, IMAGE, name="never", policy="Never")
    start(rig, IMAGE, name="always", policy="Always")
    rig.hit(ContainerCrash("default/first"))
    rig.run(9)
    assert rig.ready("a")
    assert rig.ready("never")
    assert waiting(rig, "always")[0] == waiting(rig, "first")[0] == "ImagePullBackOff"
    rig.run(60)
    assert rig.ready("always")
    first = rig.get("first")
    assert first is not None
    assert first.status.container_statuses[0].restart_count == 1
    assert rig.ready("first")


def test_an_outage_of_other_images_and_its_end() -> None:
    rig = Rig()
    outage(rig, 900, "shop/*")
    outage(rig, 900, "registry.k8s.io/*", does="denied")
    rig.run(2)
    start(rig)
    start(rig, "nginx", name="b")
    rig.run(10)
    assert rig.ready("b")
    assert "pull access denied" in waiting(rig)[1]
    rig.cluster._machines(rig.cluster.now, DisturbRegistry(("registry.k8s.io/*",), "denied", 0))
    rig.run(40)
    assert rig.ready()


def test_a_node_that_comes_later_knows_of_the_outage() -> None:
    rig = Rig()
    outage(rig, 60)
    rig.cluster.start_nodes([Node(metadata=ObjectMeta(name="n1"), status=rig.server.objects("Node")["n0"].status)])
    rig.run(3)
    made = rig.server.create(
        Pod(
            metadata=ObjectMeta(name="a", namespace="default"),
            spec=PodSpec(containers=(Container(name="main", image=OTHER),)),
        )
    )
    rig.server.bind("default", "a", made.metadata.uid, "n1", {})
    rig.cluster.api.flush(rig.server.now)
    rig.run(6)
    assert waiting(rig)[0] == "ImagePullBackOff"


def test_a_pod_that_waits_for_its_image_can_be_deleted_and_survives_its_node() -> None:
    rig = Rig()
    outage(rig, 100)
    rig.run(2)
    start(rig)
    start(rig, name="b")
    rig.run(5)
    rig.disturb(Crash(20 * SECOND))
    rig.run(40)
    assert waiting(rig)[0] == "ImagePullBackOff"
    rig.delete("b")
    rig.run(42)
    assert rig.get("b") is None
    rig.run(300)
    assert rig.ready()


def set_image(rig: Rig, image: str, name: str = "a") -> None:
    pod = rig.get(name)
    assert pod is not None
    first, *others = pod.spec.containers
    spec = replace(pod.spec, containers=(replace(first, image=image), *others))
    rig.server.update(replace(pod, spec=spec))
    rig.cluster.api.flush(rig.server.now)


@pytest.mark.parametrize("probe", [False, True])
def test_a_container_with_another_image_is_begun_anew(probe: bool) -> None:
    """kubectl set image pod/a, where it runs, where it waits in its backoff, and where its image cannot be had."""
    rig = Rig(references=True, wall=True)
    start(rig, probe=probe)
    start(rig, "r.invalid/x", name="b", probe=probe)
    rig.run(6)
    assert rig.ready()
    set_image(rig, "nginx:2")
    set_image(rig, "nginx:2", "b")
    rig.run(12)
    for name, restarts in (("a", 1), ("b", 0)):
        pod = rig.get(name)
        assert pod is not None
        status = pod.status.container_statuses[0]
        assert rig.ready(name)
        assert (status.image, status.restart_count) == ("nginx:2", restarts)
    assert told(rig, "Killing") == {"Container main definition changed, will be restarted": 1}
    set_image(rig, "r.invalid/y")
    rig.run(20)
    assert waiting(rig)[0] == "ImagePullBackOff"
    set_image(rig, IMAGE)
    rig.run(24)
    assert rig.ready()


@pytest.mark.parametrize("probe", [False, True])
def test_a_container_that_crashes_gets_its_new_image_at_once(probe: bool) -> None:
    rig = Rig(wall=True)
    start(rig, probe=probe)
    for until_s in (6, 12, 40):
        rig.run(until_s)
        rig.hit(ContainerCrash("default/a"))
    rig.run(43)
    assert waiting(rig)[0] == "CrashLoopBackOff"
    set_image(rig, IMAGE)
    rig.run(46)
    pod = rig.get()
    assert pod is not None
    assert (pod.status.container_statuses[0].image, waiting(rig)) == (IMAGE, ("", ""))


# -- names, in live clusters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "policy", "reason", "event"),
    [
        ("Nginx", "IfNotPresent", "InvalidImageName", "InspectFailed"),
        ("nginx:a:b", "IfNotPresent", "InvalidImageName", "InspectFailed"),
        (OTHER, "Never", "ErrImageNeverPull", "ErrImageNeverPull"),
    ],
)
def test_an_image_that_nobody_asks_for(image: str, policy: str, reason: str, event: str) -> None:
    rig = Rig(references=True)
    start(rig, image, policy=policy)
    rig.run(40)
    found, message = waiting(rig)
    assert found == reason
    assert told(rig, event) == {message: told(rig, "Failed")[f"Error: {reason}"]}
    assert told(rig, event)[message] in (3, 4)


def test_a_registry_without_an_address() -> None:
    """Source: RFC 2606, section 2; a name that ends in .invalid is never one."""
    rig = Rig(references=True)
    start(rig, "registry.invalid:5000/shop/web")
    rig.run(5)
    reason, message = waiting(rig)
    assert reason == "ImagePullBackOff"
    assert message.endswith(
        'Head "https://registry.invalid/v2/shop/web/manifests/latest": dial tcp: lookup registry.invalid: no such host'
    ) or message.endswith(
        'Head "https://registry.invalid:5000/v2/shop/web/manifests/latest": '
        "dial tcp: lookup registry.invalid: no such host"
    )


def test_a_run_takes_any_name() -> None:
    rig = Rig()
    for number, image in enumerate(("Nginx", "a.invalid/b", OTHER)):
        start(rig, image, name=f"p{number}", policy="Never")
    rig.run(9)
    assert all(rig.ready(f"p{number}") for number in range(3))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nginx", ""),
        ("nginx:1.27-alpine", ""),
        ("localhost:5000/a/b__c.d--e:T_1", ""),
        ("ghcr.io/owner/name@sha256:" + "0a" * 32, ""),
        ("name:tag@sha256:" + "0a" * 32, ""),
        ("name@sha256:0a", "invalid reference format"),
        ("name:", "invalid reference format"),
        ("-name", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("name:a b", "invalid reference format"),
        ("Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("ghcr.io/Owner/name:1", "invalid reference format: repository name (Owner/name) must be lowercase"),
    ],
)
def test_names_of_images(name: str, wrong: str) -> None:
    assert malformed(name) == wrong


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("nginx", "docker.io"),
        ("shop/web", "docker.io"),
        ("localhost/a", "localhost"),
        ("r.invalid:5000/a", "r.invalid"),
    ],
)
def test_whose_registry_it_is(name: str, host: str) -> None:
    assert registry_of(name) == host


def test_two_outages_at_once() -> None:
    """Each ends by itself; the later one answers."""
    images = Images(Node(metadata=ObjectMeta(name="n")))
    images.disturb(PullsFail(("shop/*",), "notFound", 10))
    images.disturb(PullsFail((), "rateLimit", 20))
    assert "429" in str(images.trouble(5, "shop/web", "IfNotPresent"))
    images.disturb(PullsFail((), "rateLimit", 0))
    assert "not found" in str(images.trouble(5, "shop/web", "IfNotPresent"))
    assert images.trouble(5, "other", "IfNotPresent") is None
    assert images.trouble(10, "shop/web", "IfNotPresent") is None
