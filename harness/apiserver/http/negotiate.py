"""What a client can read: Accept."""

from __future__ import annotations

from enum import Enum, auto

from harness.apiserver.http.bodies import JSON
from harness.model.status import ApiError


class Form(Enum):
    """How objects are wanted."""

    OBJECT = auto()
    TABLE = auto()
    METADATA = auto()  # PartialObjectMetadata


def form_of(accept: str) -> Form:
    """The first alternative that can be served. Raises ApiError NotAcceptable (406)."""
    alternatives = [part.strip() for part in accept.split(",") if part.strip()] or ["*/*"]
    for alternative in alternatives:
        media, *parameters = [piece.strip() for piece in alternative.split(";")]
        if media not in (JSON, "*/*", "application/*"):
            continue
        wanted = dict(piece.split("=", 1) for piece in parameters if "=" in piece).get("as", "")
        match wanted:
            case "Table":
                return Form.TABLE
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                return Form.METADATA
            case "":
                return Form.OBJECT
            case _:
                continue
    raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {JSON}", kind="", name="")
