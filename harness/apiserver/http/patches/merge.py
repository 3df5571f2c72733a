"""JSON merge patch, RFC 7386: objects merge, null removes, everything else replaces."""

from __future__ import annotations

from harness.model.wire import JsonValue


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """A new value; `target` and `patch` stay as they are."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge_patch(out.get(name), value)
    return out
