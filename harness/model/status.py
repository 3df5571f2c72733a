"""What the API server answers when it does not do what was asked: metav1.Status, as an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with an object. Source: metav1.StatusCause."""

    field: str
    reason: str  # FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, ..
    message: str


class ApiError(Exception):
    """A refusal: HTTP code, machine-readable reason, message. Source: apimachinery pkg/api/errors."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        kind: str = "",
        name: str = "",
        group: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.kind = kind
        self.name = name
        self.group = group
        self.causes = causes
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (Ray); keyword arguments need help to survive pickling.
        arguments = (self.code, self.reason, self.message)
        rest = (self.kind, self.name, self.group, self.causes, self.retry_after_s)
        return (_rebuild, (arguments, rest))

    def to_wire(self) -> dict[str, Any]:
        details: dict[str, Any] = {}
        if self.name:
            details["name"] = self.name
        if self.group:
            details["group"] = self.group
        if self.kind:
            details["kind"] = self.kind
        if self.causes:
            details["causes"] = [
                {"reason": c.reason, "message": c.message, **({"field": c.field} if c.field else {})}
                for c in self.causes
            ]
        if self.retry_after_s is not None:
            details["retryAfterSeconds"] = self.retry_after_s
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": details} if details or self.code == 404 else {}),
            "code": self.code,
        }


def _rebuild(arguments: tuple[int, str, str], rest: tuple[Any, ...]) -> ApiError:
    kind, name, group, causes, retry = rest
    return ApiError(*arguments, kind=kind, name=name, group=group, causes=causes, retry_after_s=retry)


def not_allowed(why: str = "") -> ApiError:
    told = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", f"{told}: {why}" if why else told)


def not_found(plural: str, name: str, group: str = "") -> ApiError:
    resource = f"{plural}.{group}" if group else plural
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', kind=plural, name=name, group=group)


def already_exists(plural: str, name: str, group: str = "") -> ApiError:
    resource = f"{plural}.{group}" if group else plural
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists', kind=plural, name=name, group=group)


def conflict(plural: str, name: str, why: str, group: str = "") -> ApiError:
    resource = f"{plural}.{group}" if group else plural
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource} "{name}": {why}',
        kind=plural,
        name=name,
        group=group,
    )


MODIFIED_MEANWHILE = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: str, name: str, causes: tuple[Cause, ...], group: str = "") -> ApiError:
    """422 with every cause. Source: errors.NewInvalid."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    qualified = f"{kind}.{group}" if group else kind
    return ApiError(
        422, "Invalid", f'{qualified} "{name}" is invalid: {text}', kind=kind, name=name, group=group, causes=causes
    )


def forbidden(plural: str, name: str, why: str) -> ApiError:
    return ApiError(403, "Forbidden", f'{plural} "{name}" is forbidden: {why}', kind=plural, name=name)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def gone(message: str) -> ApiError:
    """The revision asked for was compacted."""
    return ApiError(410, "Expired", message)


def unavailable(message: str = "the server is currently unable to handle the request") -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)
