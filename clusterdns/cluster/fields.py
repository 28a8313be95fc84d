# SPDX-License-Identifier: Apache-2.0
"""Single fields of Kubernetes objects: what the API makes of missing ones, and what would be nonsense to those who read
the values. Each function takes the path of the field, for the ObjectError that it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from sys import intern
from typing import NoReturn

from clusterdns.cluster import raw
from clusterdns.cluster.validation import address_family, label_fault
from clusterdns.errors import ObjectError

PROTOCOLS = ("TCP", "UDP", "SCTP")


def refuse(reason: str, field: str) -> NoReturn:
    """Raise ObjectError."""
    raise ObjectError(reason, field)


def choice(value: str | None, default: str, choices: tuple[str, ...], field: str) -> str:
    """The value, ``default`` for a missing or empty one; refused unless it is among ``choices``."""
    if value is None or value == "":
        return default
    for known in choices:
        if value == known:
            return known
    refuse(f"{value!r} must be one of {', '.join(filter(None, choices))}", field)


def labels(found: dict[str, str | None] | None) -> dict[str, str]:
    """Labels or a selector, none where nothing is written."""
    return {key: value or "" for key, value in found.items()} if found else {}


def named(
    meta: raw.RawMeta | None, fault: Callable[[str], str], *, namespaced: bool = True
) -> tuple[str, str, raw.RawMeta]:
    """Namespace (``default`` where none is written, empty for kinds outside namespaces), name and metadata."""
    if meta is None or not meta.name:
        refuse("is missing", "metadata.name")
    if reason := fault(meta.name):
        refuse(reason, "metadata.name")
    if not namespaced:
        return "", meta.name, meta
    namespace = meta.namespace or "default"
    if reason := label_fault(namespace):
        refuse(reason, "metadata.namespace")
    return intern(namespace), meta.name, meta


def port_number(port: int | None, field: str) -> int:
    """1–65535; there must be one."""
    if port is None:
        refuse("is missing", field)
    if not 1 <= port <= 65535:
        refuse(f"{port} must be 1–65535", field)
    return port


def port_name(name: str | None, field: str) -> str:
    """A label, or nothing."""
    if not name:
        return ""
    if reason := label_fault(name):
        refuse(reason, field)
    return intern(name)


def address(text: str, family: str, field: str) -> str:
    """The address itself, refused unless it is of the family (any of the two if that is empty)."""
    found = address_family(text)
    if not found:
        refuse(f"{text!r} is not an IP address", field)
    if family and found != family:
        refuse(f"{text!r} is not an {family} address", field)
    return text


def hostname(name: str | None, field: str) -> str:
    """A label, or nothing."""
    if not name:
        return ""
    if reason := label_fault(name):
        refuse(reason, field)
    return name


def seconds(value: object, field: str) -> int:
    """Since 1970, of a time as the API writes it (RFC 3339); 0 where there is none."""
    if value is None:
        return 0
    try:
        return int(datetime.fromisoformat(str(value)).timestamp())
    except (ValueError, OverflowError):
        refuse(f"{str(value)!r} is not a time such as 2006-01-02T15:04:05Z", field)
