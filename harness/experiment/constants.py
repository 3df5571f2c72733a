"""The constants of a scenario: Kubernetes' own, and the flags of its cluster autoscaler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.autoscaling.cluster.settings import FLAGS, parse_flags
from harness.autoscaling.policy import NODE_POLICIES
from harness.experiment.scenario import LoadedScenario
from harness.model.constants import TABLE, ConstantError, Constants, parse_constants
from harness.model.errors import UserError
from harness.model.times import duration_text

CLUSTER_AUTOSCALER = "cluster-autoscaler"


def read_constants(loaded: LoadedScenario) -> tuple[Constants, Mapping[str, Any]]:
    """(Kubernetes' constants, the flags of the cluster autoscaler among them). Raises UserError."""
    given = loaded.scenario.spec.constants
    flags = {name: value for name, value in given.items() if name in FLAGS}
    if flags:
        _check_flags(loaded, flags)
    try:
        constants = parse_constants({name: value for name, value in given.items() if name not in flags}, FLAGS)
    except ConstantError as error:
        path = _path(given, error.name)
        raise loaded.error(path, error.what, found=error.found, expected=error.expected, hint=error.hint) from None
    return constants, flags


def defaults() -> dict[str, str]:
    """Every constant that a scenario may set, with its default as text."""
    flags = {name: _text(name, item.default) for name, item in FLAGS.items()}
    return {name: constant.default_text for name, constant in TABLE.items()} | flags


def _text(name: str, default: Any) -> str:
    if FLAGS[name].name.endswith("_ns"):
        return duration_text(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def _path(given: Mapping[str, Any], name: str) -> str:
    return f"spec.constants.{name}" if name in given else "spec.constants"


def _check_flags(loaded: LoadedScenario, flags: Mapping[str, Any]) -> None:
    """Raises UserError."""
    autoscaler = loaded.scenario.spec.autoscaler
    name, _, query = autoscaler.partition("?")
    first = next(iter(flags))
    if name != CLUSTER_AUTOSCALER:
        expected = f"spec.autoscaler: {CLUSTER_AUTOSCALER}"
        raise loaded.error(
            f"spec.constants.{first}", f"this is a flag of {CLUSTER_AUTOSCALER}", found=autoscaler, expected=expected
        )
    for flag, value in flags.items():
        where = f"spec.constants.{flag}"
        if any(item.partition("=")[0] == flag for item in query.split("&")):
            raise loaded.error(
                where, "spec.autoscaler sets this flag, too", found=autoscaler, expected="one of the two"
            )
        try:
            parse_flags({flag: value})
        except ValueError as error:
            raise loaded.error(where, str(error).partition(": ")[2] or str(error), found=value) from None
    try:
        NODE_POLICIES.factory(autoscaler, flags)()
    except UserError as error:
        raise loaded.error(
            f"spec.constants.{first}", error.what, found=error.found, expected=error.expected, hint=error.hint
        ) from None
