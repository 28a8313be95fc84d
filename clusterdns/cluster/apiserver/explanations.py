# SPDX-License-Identifier: Apache-2.0
"""What went wrong between here and the API server, in words that name the cause and the cure."""

from __future__ import annotations

import errno
import socket
import ssl

import msgspec

from clusterdns.errors import ApiError

MAX_MESSAGE_CHARACTERS = 300

# The codes of OpenSSL's X509_V_ERR_….
_EXPIRED = 10
_NOT_YET_VALID = 9
_UNKNOWN_AUTHORITY = frozenset((2, 18, 19, 20, 21))
_WRONG_NAME = frozenset((62, 64))

_ROADS = {
    errno.ECONNREFUSED: (
        "connection refused",
        "nothing listens there; the API server is down or starting, or the address is wrong",
    ),
    errno.EHOSTUNREACH: ("no route to host", "check the node's routes and the network policies"),
    errno.ENETUNREACH: ("network is unreachable", "check the node's routes, and whether it has this address family"),
    errno.ETIMEDOUT: ("connection timed out", "packets are dropped on the way; check firewalls and network policies"),
    errno.ECONNRESET: ("connection reset", ""),
    errno.EPIPE: ("connection reset", ""),
}

_ROLES = {"serviceimports": "deploy/components/multicluster/rbac.yaml"}
"""The ClusterRole that grants a resource, where it isn't the one of all others."""


class _Status(msgspec.Struct):
    """v1 Status."""

    message: str = ""
    reason: str = ""


_decode_status = msgspec.json.Decoder(_Status).decode


def unreachable(server: str, error: Exception) -> ApiError:
    """No connection, or none that can be trusted. ``server`` is its URL; ``error`` what the system or TLS says."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrusted(server, error)
    if isinstance(error, socket.gaierror):
        return ApiError(
            f"{server}: its name can't be resolved ({error.strerror})",
            "the cluster's DNS server can't ask itself; use an address, or run with dnsPolicy: Default",
        )
    if isinstance(error, ssl.SSLError):
        return _no_tls(server, error)
    if isinstance(error, OSError) and error.errno in _ROADS:
        reason, hint = _ROADS[error.errno]
        return ApiError(f"{server}: {reason}", hint)
    return ApiError(f"{server}: {_shorten(str(error)) or type(error).__name__}")


def _distrusted(server: str, error: ssl.SSLCertVerificationError) -> ApiError:
    code = error.verify_code
    if code in _UNKNOWN_AUTHORITY:
        return ApiError(
            f"{server}: x509: certificate signed by unknown authority",
            "give the cluster's own: ca.crt of the service account, certificate-authority of the kubeconfig, or the "
            "third argument of tls",
        )
    if code in _WRONG_NAME:
        return ApiError(
            f"{server}: x509: {_shorten(error.verify_message)}",
            "use a name or address that is in the API server's certificate, or tls-server-name of the kubeconfig",
        )
    if code in (_EXPIRED, _NOT_YET_VALID):
        return ApiError(
            f"{server}: x509: certificate has expired or is not yet valid",
            "renew the API server's certificate, or set the clock of this node",
        )
    return ApiError(f"{server}: x509: {_shorten(error.verify_message or str(error))}")


def _no_tls(server: str, error: ssl.SSLError) -> ApiError:
    reason = (error.reason or "").replace("_", " ").lower()
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return ApiError(f"{server}: the other side doesn't speak TLS ({reason})", "is it http:// instead of https://?")
    if "certificate" in reason and "alert" in reason:
        return ApiError(
            f"{server}: the API server refuses the client's certificate ({reason})",
            "check client-certificate of the kubeconfig, or the first two arguments of tls",
        )
    return ApiError(f"{server}: TLS: {reason or _shorten(str(error))}")


def refused(status: int, body: bytes, *, verb: str, resource: str, authority: str = "") -> ApiError:
    """An answer other than 200.

    body: as it came, a v1 Status or text.
    verb, resource: what was asked for, as in ``list`` and ``endpointslices``.
    authority: where the credentials are from, as in ``the service account``.
    """
    message = _message(body)
    if status == 401:
        return ApiError(
            f"401: the API server doesn't accept the credentials of {authority or 'clusterdns'}",
            "the token or certificate has expired or is of another cluster",
            status=status,
        )
    if status == 403:
        who = _user(message) or authority or "the service account"
        role = _ROLES.get(resource, "deploy/new/rbac.yaml")
        return ApiError(f"403: {who} may not {verb} {resource}", f"see {role}", status=status)
    if status == 404:
        return ApiError(
            f"404: the API server has no {resource}", "is its version new enough, or a CRD missing?", status=status
        )
    if 300 <= status < 400:
        return ApiError(
            f"{status}: redirected while asking for {resource}",
            "is this the API server, or a log-in page?",
            status=status,
        )
    return ApiError(f"{status}: {message or 'no message'} ({verb} {resource})", status=status)


def not_json(content_type: str, resource: str) -> ApiError:
    """An answer 200 that is something else than JSON."""
    return ApiError(
        f"the answer for {resource} is {content_type or 'of no type'} instead of JSON",
        "is this the API server, or a proxy or log-in page?",
    )


def _message(body: bytes) -> str:
    try:
        return _shorten(_decode_status(body).message)
    except msgspec.MsgspecError:
        return _shorten(body.decode("utf-8", "replace"))


def _user(message: str) -> str:
    """``User "x"`` of the message of a 403."""
    _, found, rest = message.partition('User "')
    name, end, _ = rest.partition('"')
    return f'user "{name}"' if found and end else ""


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else f"{text[:MAX_MESSAGE_CHARACTERS]}…"
