"""How a client says what to change: one module a patch type, and the content type that names it."""

from __future__ import annotations

from typing import Any

from harness.apiserver.http.patches.json_patch import json_patch
from harness.apiserver.http.patches.merge import merge_patch
from harness.apiserver.http.patches.strategic import strategic_patch
from harness.model.status import ApiError
from harness.model.wire import Json

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

SUPPORTED = (JSON_PATCH, MERGE, STRATEGIC)


def patched(content_type: str, target: Json, patch: Any, kind: str, *, strategic: bool = True) -> Json:
    """A new object. `strategic`: false for kinds that users define, whose lists have no keys to merge by. Raises
    ApiError UnsupportedMediaType (415), BadRequest, Invalid."""
    match content_type:
        case "application/json-patch+json":
            out = json_patch(target, patch)
        case "application/merge-patch+json":
            out = merge_patch(target, patch)
        case "application/strategic-merge-patch+json" if strategic:
            out = strategic_patch(target, patch, kind)
        case _:
            known = ", ".join((*(item for item in SUPPORTED if strategic or item != STRATEGIC), APPLY))
            what = f"the body of the request was in an unknown format - accepted media types include: {known}"
            raise ApiError(415, "UnsupportedMediaType", what)
    if not isinstance(out, dict):
        raise ApiError(422, "Invalid", "the patch leaves no object")
    return out
