"""What the options of podyard fault say, as it stands in a scenario."""

from __future__ import annotations

import pytest

from harness.cli.fault import spec_of


@pytest.mark.parametrize(
    ("kind", "options", "spec"),
    [
        ("registryOutage", "--images shop/*:2 --images nginx --for 1m", {"images": ["shop/*:2", "nginx"], "for": "1m"}),
        ("registryOutage", '--images ["a","b"] --for 1m', {"images": ["a", "b"], "for": "1m"}),
        ("providerOutage", "--pools burst --does quota --for 5m", {"pools": ["burst"], "does": "quota", "for": "5m"}),
        ("nodeCrash", "--node a --node b --for 9s", {"select": {"names": ["a", "b"]}, "downFor": "9s"}),
    ],
)
def test_options_and_fields(kind: str, options: str, spec: dict[str, object]) -> None:
    """A field that takes many is given one by one, as --node is."""
    said = spec_of(kind, options.split())
    said = {key.rstrip("_"): value for key, value in said.items()}
    if "select" in said:
        said["select"] = {key: value for key, value in said["select"].items() if value and key != "count"}
    assert said == spec
