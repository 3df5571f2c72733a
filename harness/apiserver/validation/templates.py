"""What is wrong with a pod template, and with the selector that stands beside it.

Source: pkg/apis/{apps,batch}/validation/validation.go.
"""

from __future__ import annotations

import re

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import at_least, forbidden, required, unsupported, wrong
from harness.apiserver.validation.pods import pod_spec_problems
from harness.model.core import PodTemplateSpec
from harness.model.meta import LabelSelector
from harness.model.status import Cause
from harness.model.whole_numbers import whole_number

_PERCENT = re.compile(r"[0-9]+%")


def int_or_percent(found: list[Cause], value: int | str | None, field: str, *, whole: bool = False) -> int | None:
    """The number; `whole`: not more than all of it."""
    if value is None:
        return None
    if isinstance(value, str):
        percent = whole_number(value.removesuffix("%"))
        if not _PERCENT.fullmatch(value) or percent is None:
            found.append(
                wrong(field, value, "a valid percent string must be a numeric string followed by an ending '%'")
            )
            return None
        if whole and percent > 100:
            found.append(wrong(field, value, "must not be greater than 100%"))
        return percent
    at_least(found, field, value)
    return value


def selected_template_problems(
    found: list[Cause],
    selector: LabelSelector,
    template: PodTemplateSpec,
    old: PodTemplateSpec | None,
    *,
    kind: str = "ReplicaSet",
) -> None:
    unsound = names.selector_problems(selector, "spec.selector")
    found += unsound
    if selector.empty:
        found.append(required("spec.selector"))
    elif not unsound and not selector.matches(template.metadata.labels):
        why = "`selector` does not match template `labels`"
        found.append(wrong("spec.template.metadata.labels", dict(template.metadata.labels), why))
    if template is old:
        return
    template_problems(found, template, ("Always",))
    if template.spec.active_deadline_seconds is not None:
        found.append(forbidden("spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported"))  # fmt: skip  # noqa: E501


def template_problems(
    found: list[Cause], template: PodTemplateSpec, policies: tuple[str, ...], at: str = "spec.template"
) -> None:
    found += names.part_problems(template.metadata, f"{at}.metadata")
    found += pod_spec_problems(template.spec, f"{at}.spec")
    if template.spec.restart_policy not in policies and template.spec.restart_policy in (
        "Always",
        "OnFailure",
        "Never",
    ):
        found.append(unsupported(f"{at}.spec.restartPolicy", template.spec.restart_policy, policies))
