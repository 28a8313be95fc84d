# SPDX-License-Identifier: Apache-2.0
"""What Kubernetes accepts as names, labels and addresses ("Object Names and IDs", "Labels and Selectors").

Each ``…_fault`` function gives what is wrong with a text, or the empty string.
"""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
_HOST_NAME = re.compile(
    r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?)*\.?"
)


def label_fault(text: str) -> str:
    """For names of Services, Namespaces and ports, and for hostnames: an RFC 1123 label in lower case."""
    if _LABEL.fullmatch(text):
        return ""
    return f"{text!r} must be 1–63 characters a–z, 0–9 and '-', with a letter or digit at both ends"


def subdomain_fault(text: str) -> str:
    """For names of Pods, EndpointSlices, Endpoints and Nodes: RFC 1123 labels in lower case, joined by dots."""
    if len(text) <= 253 and _SUBDOMAIN.fullmatch(text):
        return ""
    return f"{text!r} must be 1–253 characters a–z, 0–9, '-' and '.', each part with a letter or digit at both ends"


def host_name_fault(text: str) -> str:
    """For spec.externalName and addresses of type FQDN: a domain name (RFC 1035 section 2.3.1, and ``_``), at most 253
    characters without the final dot.
    """
    if len(text.removesuffix(".")) <= 253 and _HOST_NAME.fullmatch(text):
        return ""
    return f"{text!r} is not a domain name"


def address_family(text: str) -> str:
    """``IPv4`` or ``IPv6`` for an address as text, empty for anything else (leading zeros and zones included)."""
    if _IPV4.fullmatch(text):
        return "IPv4"
    if ":" not in text or "%" in text:
        return ""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return ""
    return "IPv6"


def label_key_fault(text: str) -> str:
    """For label keys: ``[PREFIX/]NAME``."""
    prefix, slash, name = text.rpartition("/")
    if slash and (fault := subdomain_fault(prefix)):
        return f"prefix part {fault}"
    if _QUALIFIED.fullmatch(name):
        return ""
    return "name part must be 1–63 characters A–Z, a–z, 0–9, '-', '_' and '.', with a letter or digit at both ends"


def label_value_fault(text: str) -> str:
    """For label values: empty, or like the name part of a key."""
    if not text or _QUALIFIED.fullmatch(text):
        return ""
    return "must be empty or 1–63 characters A–Z, a–z, 0–9, '-', '_' and '.', with a letter or digit at both ends"
