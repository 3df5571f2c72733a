"""Rows of the Job controller's own tests, as facts: what goes in, what comes out.

Source: pkg/controller/job/success_policy_test.go TestMatchSuccessPolicy, pod_failure_policy_test.go
TestMatchPodFailurePolicy, indexed_job_utils_test.go TestOrderedIntervalsString and others (1.32).
"""

from __future__ import annotations

from typing import NamedTuple


class Success(NamedTuple):
    """`rules`: (succeededIndexes, succeededCount) each; `met`: the number of the rule that is."""

    done: str
    rules: tuple[tuple[str | None, int | None], ...]
    met: int | None = None


SUCCESS = {
    "any rules are nothing": Success("0", ()),
    "invalid format": Success("0", (("invalid-form", None),)),
    "indexes matched": Success("0-2,4-7", (("0-2", None),), 0),
    "indexes did not match": Success("0-2", (("3", None),)),
    "count matched": Success("0-2", ((None, 2),), 0),
    "count did not match": Success("0-2", ((None, 4),)),
    "one of two rules": Success("0-2,4-7", (("9", None), ("4,6", None)), 1),
    "both rules": Success("0-2,4-7", (("0,1", None), ("5", None)), 0),
    "indexes and count matched": Success("0-2,4-7", (("3-6", 2),), 0),
    "indexes and count did not match": Success("0-2,6-7", (("3-6", 2),)),
    "nothing succeeded": Success("", ((None, 4),)),
    "proper subset": Success("1-5,6-9", (("2-4,6-8", None),), 0),
    "equal": Success("2-4,6-9", (("2-4,6-9", None),), 0),
    "beyond the completions": Success("2-5,7-15", (("2-4,8-12", None),), 0),
    "rules are empty": Success("1-3", (("", None),)),
    "both empty": Success("", (("", None),)),
    "none included": Success("1-3,5-7", (("10-12,14-16", None),)),
    "overlaps at first": Success("2-4,6-8", (("1-3,5-7", None),)),
    "overlaps at first, count": Success("2-4,6-8", (("1-3,5-7", 4),), 0),
    "overlaps at last": Success("1-3,5-7", (("2-4,6-9", None),)),
    "overlaps at last, count": Success("1-3,5-7", (("2-4,6-9", 4),), 0),
    "overlaps completely": Success("1-3,7-8", (("0-4,6-9", None),)),
    "overlaps completely, count": Success("1-3,7-8", (("0-4,6-9", 5),), 0),
    "overlaps several at last": Success("1-3,5-9", (("0-6,8-9", None),)),
    "overlaps several at last, count": Success("1-3,5-9", (("0-6,8-9", 7),), 0),
    "overlaps at first, equal at last": Success("1-5,7-10", (("0-5,7-9", None),)),
    "overlaps at first, equal at last, count": Success("1-5,7-10", (("0-5,7-9", 8),), 0),
    "the first overlaps": Success("1-10", (("0-3,6-9", None),)),
    "the first overlaps, count": Success("1-10", (("0-3,6-9", 7),), 0),
}
"""Of ten completions each."""

TEXTS = {
    "": (),
    "1": (1,),
    "3,4": (3, 4),
    "3-5": (3, 4, 5),
    "0-5,7,9-11,13,14": (0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 13, 14),
}


class Failure(NamedTuple):
    """`exits`: (container, code); `conditions`: of the pod; `action`, `counts`, `why`: what comes out."""

    rules: tuple[dict[str, object], ...]
    exits: tuple[tuple[str, int], ...] = ()
    init_exits: tuple[tuple[str, int], ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()
    action: str = ""
    counts: bool = True
    why: str = ""


def _codes(action: str, operator: str, *values: int, container: str | None = None) -> dict[str, object]:
    name = {} if container is None else {"containerName": container}
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values), **name}}


def _when(action: str, *patterns: tuple[str, str]) -> dict[str, object]:
    return {"action": action, "onPodConditions": [{"type": kind, "status": status} for kind, status in patterns]}


_TARGET = ("DisruptionTarget", "True")
FAILURE = {
    "Ignore on exit codes": Failure((_codes("Ignore", "In", 1, 2),), (("main", 1),), action="Ignore", counts=False),
    "FailJob on exit codes": Failure(
        (_codes("FailJob", "In", 1, 2, 3),), (("main", 2),), action="FailJob",
        why="Container main for pod default/mypod failed with exit code 2 matching FailJob rule at index 0",
    ),
    "FailIndex on exit codes": Failure((_codes("FailIndex", "In", 1, 2, 3),), (("main", 2),), action="FailIndex"),
    "not matching": Failure((_codes("Ignore", "In", 1, 2, 3),), (("main", 4),)),
    "NotIn": Failure(
        (_codes("FailJob", "NotIn", 5, 6, 7),), (("main", 42),), action="FailJob",
        why="Container main for pod default/mypod failed with exit code 42 matching FailJob rule at index 0",
    ),
    "NotIn, not matching": Failure((_codes("FailJob", "NotIn", 5, 6, 7),), (("main", 6),)),
    "exit code 0 matches nothing": Failure((_codes("FailJob", "NotIn", 5, 6),), (("main", 0),)),
    "of a container": Failure(
        (_codes("FailJob", "In", 5, container="main"),), (("side", 5), ("main", 5)), action="FailJob",
        why="Container main for pod default/mypod failed with exit code 5 matching FailJob rule at index 0",
    ),
    "of another container": Failure((_codes("FailJob", "In", 5, container="main"),), (("side", 5), ("main", 1))),
    "of an init container": Failure(
        (_codes("FailJob", "In", 5),), (), (("init", 5),), action="FailJob",
        why="Container init for pod default/mypod failed with exit code 5 matching FailJob rule at index 0",
    ),
    "the first rule that applies": Failure(
        (_codes("Ignore", "In", 8), _codes("FailJob", "In", 9)), (("main", 9),), action="FailJob",
        why="Container main for pod default/mypod failed with exit code 9 matching FailJob rule at index 1",
    ),
    "Count stops the search": Failure(
        (_codes("Count", "In", 1), _codes("FailJob", "In", 1)), (("main", 1),), action="Count"
    ),
    "Ignore on a condition": Failure(
        (_when("Ignore", _TARGET),), conditions=(_TARGET,), action="Ignore", counts=False
    ),
    "a condition of another status": Failure((_when("Ignore", _TARGET),), conditions=(("DisruptionTarget", "False"),)),
    "FailJob on a condition": Failure(
        (_when("FailJob", _TARGET),), conditions=(("Ready", "False"), _TARGET), action="FailJob",
        why="Pod default/mypod has condition DisruptionTarget matching FailJob rule at index 0",
    ),
    "FailIndex on a condition": Failure((_when("FailIndex", _TARGET),), conditions=(_TARGET,), action="FailIndex"),
    "Count on a condition": Failure((_when("Count", _TARGET),), conditions=(_TARGET,), action="Count"),
}  # fmt: skip
