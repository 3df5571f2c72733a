"""Whole numbers in text: the digits of other scripts, and as many digits as anybody likes, are no surprise anywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.apiserver.http.auth import kubeconfig
from harness.cli import main
from harness.experiment.manifests import read_checked_manifests
from harness.model.errors import UserError
from harness.model.gpu import GPU_INDEX, parse_devices
from harness.model.times import parse_duration
from harness.model.whole_numbers import whole_number
from harness.node.pod_annotations import read_annotations

HUGE = "9" * 5000
NONE = ["", "-1", "+1", " 1", "1_0", "1.0", "٣", "²", "x", HUGE, "9" * 19]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_whole_number(text: str) -> None:
    assert whole_number(text) is None
    assert whole_number("9" * 18) == 10**18 - 1
    assert whole_number("007") == 7


@pytest.mark.parametrize("text", ["-1", "1-", "1--2", "x", "٣", "0-" + HUGE])
def test_devices_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="no list of devices"):
        parse_devices(text)
    assert read_annotations({GPU_INDEX: text}).wrong


@pytest.mark.parametrize("text", ["-4s", "٣s", "1e400s", HUGE + "s", "9" * 18 + "h", "5"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


POD = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("podyard.dev/duration", "-4s"),
        ("podyard.dev/duration", HUGE + "s"),  # it never ended, and no column held when it would
        ("podyard.dev/duration", "٣s"),
        ("podyard.dev/exit-code", "256"),
        ("podyard.dev/exit-code", "1_0"),
        ("podyard.dev/cpu-usage", "99999Ei"),
        ("podyard.dev/cpu-per-request", "nanu"),
        ("podyard.dev/cpu-per-request", "1e999999999u"),  # a number of a gigabyte: it ran for minutes
        ("alibaba.com/gpu-index", "1-"),
        ("alibaba.com/gpu-milli", HUGE),
    ],
)
@pytest.mark.parametrize("within", ["pod", "template"])
def test_an_annotation_that_a_kubelet_cannot_read_is_told(tmp_path: Path, name: str, text: str, within: str) -> None:
    meta: dict[str, Any] = {"annotations": {name: text}}
    pod: dict[str, Any] = {**POD, "metadata": {"name": "p", **meta}}
    if within == "template":
        labels = {"app": "a"}
        spec = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, **meta}, "spec": POD["spec"]},
        }
        pod = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "p"}, "spec": spec}
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(pod, sort_keys=False))
    with pytest.raises(UserError) as told:
        read_checked_manifests([path])
    said = str(told.value)
    assert f"{path}:" in said
    assert name in said
    assert len(said) < 1000


def test_a_pod_that_is_made_with_such_annotations_counts_as_saying_nothing() -> None:
    """Over HTTP they are a client's own, and no reason to refuse the pod."""
    found = read_annotations({"podyard.dev/cpu-per-request": "1e999999999u", "podyard.dev/duration": "5s"})
    assert found.duration_ns == 5 * 10**9
    assert found.request_micro == -1
    assert found.wrong == ("podyard.dev/cpu-per-request: '1e999999999u'",)


COMPARE = ("compare", "quickstart", "--scheduler", "greedy,random", "--seeds", "1-2")


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "--seeds", HUGE),
        ("simulate", "--seeds", "٣"),
        ("trace", "lint", "a.swf", "--format", "swf", "--option", f"x={HUGE}"),
        ("run", "quickstart", "--nodes", "inline", "--set", f"spec.nodes[{HUGE}].group.count=1"),
        ("up", "--store", f"sqlite:x?accept-revision={HUGE}"),
        ("up", "--store", "sqlite:x?accept-revision=²"),
        (*COMPARE, "--within", "nan%"),
        (
            "compare",
            "quickstart",
            "--scheduler",
            "greedy,random",
            "--seeds",
            "1-2",
            "--within",
            "placement.nodesUsed=inf",
        ),
        (*COMPARE, "--within", "-1%"),
    ],
)
def test_arguments_that_are_no_numbers_are_told(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.swf").write_text("1 2 3\n")
    monkeypatch.setattr(sys, "argv", ["podyard", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code in (1, 2)
    assert "Traceback" not in told
    assert len(told) < 20_000


def test_a_kubeconfig_that_is_a_bomb_is_somebody_elses(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 8)}]\n" for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    path = tmp_path / "config"
    path.write_text(f"{bomb}clusters: *k\n")
    with pytest.raises(UserError, match="somebody else's") as told:
        kubeconfig.check(path, b"")
    assert len(str(told.value)) < 1000
    assert path.read_text().startswith("a: &a")
