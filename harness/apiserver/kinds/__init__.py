"""Everything that the API server does differently for one kind: one file per kind, or a small family of them.

A kind is added by its type in `harness.model`, its line in `harness.model.objects`, and a file here that lists its
`KindRules` in `RULES`; every file of this folder is read. A kind without rules is kept whole, as most kinds are. From
outside of the package: `register`.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from harness.apiserver.admission.quota import Usage, counted_name, kind_counted
from harness.apiserver.kinds.rules import KindRules, OtherVersion, Table
from harness.model.meta import ApiObject
from harness.model.objects import KINDS, Kind, kind_of, register_kind, unregister_kind
from harness.model.status import Cause

RULES: dict[str, KindRules] = {}
"""By kind; one for each of KINDS."""

_UNIT = 1000

generation = 0
"""How often a kind came or went: what is derived from all kinds is made again when this moves."""


def register(rules: KindRules) -> None:
    """Serve a kind from outside; to be called before a server is made. Raises ValueError for a kind that is known."""
    # Rules first: other threads find a kind by KINDS, and then expect its rules.
    known = RULES.get(rules.kind.kind)
    RULES[rules.kind.kind] = rules
    try:
        register_kind(rules.kind)
    except ValueError:
        if known is None:
            del RULES[rules.kind.kind]
        else:
            RULES[rules.kind.kind] = known
        raise
    _changed()


def unregister(name: str) -> None:
    """Take back what `register` did, as a test does when it ends."""
    unregister_kind(name)
    del RULES[name]
    _changed()


def _changed() -> None:
    global generation
    generation += 1
    kind_of_quota.cache_clear()


def _read_files() -> None:
    for found in sorted(iter_modules(__path__), key=lambda item: item.name):
        if found.name == "rules":
            continue
        for rules in import_module(f"{__name__}.{found.name}").RULES:
            name = rules.kind.kind
            assert name not in RULES, f"{name} has rules in two files of {__name__}"
            RULES[name] = rules
    for name, kind in KINDS.items():
        RULES.setdefault(name, KindRules(kind=kind))


_read_files()


def defaulted(kind: Kind, obj: ApiObject) -> Any:
    """The object with the defaults of its kind; the same object when none were missing."""
    make = RULES[kind.kind].defaults
    return obj if make is None else make(obj)


def problems(kind: Kind, obj: ApiObject, old: ApiObject, name: str) -> tuple[Cause, ...]:
    """What is wrong with an object. `old`: what it was, None for a new one; `name`: a generated one included."""
    return RULES[kind.kind].problems(obj, old, name)


# -- what quotas count -------------------------------------------------------------------------------------------------


def counted_kinds() -> tuple[str, ...]:
    """Kinds that a ResourceQuota can count."""
    return tuple(name for name, rules in RULES.items() if rules.kind.namespaced and rules.counted)


@lru_cache(maxsize=1024)
def kind_of_quota(resource: str) -> str:
    """The kind whose objects use a quota's `resource`."""
    for name in counted_kinds():
        rules = RULES[name]
        if resource in (rules.quota_name, counted_name(rules.kind)):
            return name
    return kind_counted(resource)


def usage_of(obj: ApiObject, now: int) -> Usage:
    """What `obj` uses of its namespace's quotas at `now`, in thousandths; nothing where quotas do not count it."""
    rules = RULES[kind_of(obj)]
    if not rules.counted:
        return {}
    used = {counted_name(rules.kind): _UNIT}
    if rules.usage is not None:
        used.update(rules.usage(obj, now))
    elif rules.quota_name:
        used[rules.quota_name] = _UNIT
    return used


__all__ = ["RULES", "KindRules", "OtherVersion", "Table", "counted_kinds", "defaulted", "kind_of_quota", "problems"]
__all__ += ["register", "unregister", "usage_of"]
