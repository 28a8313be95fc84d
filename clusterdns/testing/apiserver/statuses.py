# SPDX-License-Identifier: Apache-2.0
"""What the server says when it can't do as asked: v1 Status."""

from __future__ import annotations

import msgspec


class ApiStatus(Exception):
    """An answer other than success, as a v1 Status.

    code: the HTTP status; reason: Kubernetes' word for it, as in ``NotFound``.
    retry_after_seconds: the header Retry-After, None without.
    continue_token: a fresh one, with which an expired list can go on.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        retry_after_seconds: int | None = None,
        continue_token: str = "",
        cause: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.continue_token = continue_token
        self.cause = cause

    def encode(self) -> bytes:
        """The Status as JSON."""
        status: dict[str, object] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        details: dict[str, object] = {}
        if self.cause:
            details["causes"] = [{"reason": self.cause, "message": self.message}]
        if self.retry_after_seconds is not None:
            details["retryAfterSeconds"] = self.retry_after_seconds
        if details:
            status["details"] = details
        return msgspec.json.encode(status | {"code": self.code})


def expired(message: str, *, continue_token: str = "") -> ApiStatus:
    """410: what was asked for is no longer kept."""
    return ApiStatus(410, "Expired", message, continue_token=continue_token)


def invalid(message: str) -> ApiStatus:
    """422: an option or an object with a wrong value."""
    return ApiStatus(422, "Invalid", message)


def bad_request(message: str) -> ApiStatus:
    """400: what can't be read at all."""
    return ApiStatus(400, "BadRequest", message)


def not_found(plural: str, name: str) -> ApiStatus:
    """404: no such object."""
    return ApiStatus(404, "NotFound", f'{plural} "{name}" not found')


def conflict(plural: str, name: str, message: str) -> ApiStatus:
    """409: the object has changed since it was read."""
    return ApiStatus(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{name}": {message}')


def unavailable(message: str) -> ApiStatus:
    """503: the server is stopping or not yet there."""
    return ApiStatus(503, "ServiceUnavailable", message, retry_after_seconds=1)
