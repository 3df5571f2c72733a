"""What a client can read: Accept."""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache

from harness.apiserver.http.bodies import JSON, PROTOBUF
from harness.model.status import ApiError


class ObjectForm(Enum):
    """How objects are wanted."""

    OBJECT = auto()
    TABLE = auto()
    METADATA = auto()  # PartialObjectMetadata
    PROTOBUF = auto()  # whole objects, in protobuf


@lru_cache(maxsize=256)
def form_of(accept: str) -> ObjectForm:
    """The first alternative that can be served, protobuf only alone. Raises ApiError NotAcceptable (406)."""
    protobuf = False
    alternatives = [part.strip() for part in accept.split(",") if part.strip()] or ["*/*"]
    for alternative in alternatives:
        media, *parameters = [piece.strip() for piece in alternative.split(";")]
        if media == PROTOBUF and not any(piece.startswith("as=") for piece in parameters):
            protobuf = True
        if media not in (JSON, "*/*", "application/*"):
            continue
        wanted = dict(piece.split("=", 1) for piece in parameters if "=" in piece).get("as", "")
        match wanted:
            case "Table":
                return ObjectForm.TABLE
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                return ObjectForm.METADATA
            case "":
                return ObjectForm.OBJECT
            case _:
                continue
    if protobuf:
        return ObjectForm.PROTOBUF
    told = f"only the following media types are accepted: {JSON}, {PROTOBUF}"
    raise ApiError(406, "NotAcceptable", told, kind="", name="")
