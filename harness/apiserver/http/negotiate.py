"""What a client can read, and what it has written: Accept and Content-Type."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import msgspec
import yaml

from harness.apiserver.http import protobuf
from harness.apiserver.http.call import too_large
from harness.model.status import ApiError, bad_request

LARGEST_BODY = 3 * 1024 * 1024
"""Bytes. Source: apiserver pkg/server/config.go MaxRequestBodyBytes."""

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML_TYPES = ("application/yaml", "application/apply-patch+yaml")


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


def parsed(body: bytes, content_type: str) -> Any:
    """The value in a body; None when it is empty. Raises ApiError BadRequest, UnsupportedMediaType, 413."""
    if len(body) > LARGEST_BODY:
        raise too_large(f"Request entity too large: limit is {LARGEST_BODY}")
    if not body:
        return None
    media = content_type.partition(";")[0].strip().lower()
    if media == PROTOBUF:
        return protobuf.decode(body)
    if media in YAML_TYPES:
        try:
            return yaml.safe_load(body)
        except yaml.YAMLError as error:
            raise bad_request(f"error decoding YAML: {error}") from None
    # No type at all is JSON, as the Python client sends it.
    if media and media != JSON and not media.endswith("+json"):
        what = (
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON}, application/yaml, {PROTOBUF}"
        )
        raise ApiError(415, "UnsupportedMediaType", what)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from None
