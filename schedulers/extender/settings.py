"""What a KubeSchedulerConfiguration says of an extender, in its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from harness.model.errors import UserError, did_you_mean
from harness.model.times import parse_duration

DEFAULT_TIMEOUT_S = 5.0
"""Source: kube-scheduler 1.32 pkg/scheduler/extender.go DefaultExtenderTimeout."""


class Managed(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str
    ignored_by_scheduler: bool = False


class TLS(msgspec.Struct, frozen=True, rename="camel"):
    insecure: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Source: k8s.io/kube-scheduler/config/v1 Extender (v1.32). preemptVerb is known, and refused."""

    url_prefix: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    bind_verb: str = ""
    preempt_verb: str = ""
    weight: int = 0
    enable_https: bool = msgspec.field(default=False, name="enableHTTPS")
    tls_config: TLS = TLS()
    http_timeout: str = ""
    node_cache_capable: bool = False
    managed_resources: tuple[Managed, ...] = ()
    ignorable: bool = False

    @property
    def timeout_s(self) -> float:
        return parse_duration(self.http_timeout) / 1e9 if self.http_timeout else DEFAULT_TIMEOUT_S

    def interested(self, resources: frozenset[str]) -> bool:
        """Whether a pod that requests these is the extender's to look at: all are, where it manages none."""
        return not self.managed_resources or any(item.name in resources for item in self.managed_resources)


def settings(data: Mapping[str, Any]) -> Settings:
    """Raises UserError for what kube-scheduler would refuse, and for what is not modelled."""
    known = [field.encode_name for field in msgspec.structs.fields(Settings)]
    for key in data:
        if key not in known:
            expected = ", ".join(known)
            raise UserError(f"an extender has no {key!r}", expected=expected, hint=did_you_mean(key, known))
    try:
        made = msgspec.convert(dict(data), Settings)
    except msgspec.ValidationError as error:
        raise UserError(f"this is no extender: {error}") from None
    try:
        parts = urlsplit(made.url_prefix)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # of a port that is none, or of brackets that are not closed
        fits = False
    if not fits:
        raise UserError(
            "an extender needs a urlPrefix", found=made.url_prefix, expected="as http://127.0.0.1:8888/scheduler"
        )
    if made.preempt_verb:
        raise UserError("preemptVerb is not modelled: extenders filter, prioritize and bind", found=made.preempt_verb)
    if any(item.ignored_by_scheduler for item in made.managed_resources):
        raise UserError("ignoredByScheduler is not modelled: the harness holds every resource")
    if made.prioritize_verb and made.weight <= 0:
        raise UserError("an extender that prioritizes needs a weight", found=made.weight, expected="1 or more")
    try:
        timeout_s = made.timeout_s
    except ValueError as error:
        raise UserError(f"httpTimeout: {error}") from None
    if timeout_s <= 0:
        raise UserError("httpTimeout must be some time", found=made.http_timeout)
    return made
