# SPDX-License-Identifier: Apache-2.0
"""What is to be explained."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

import msgspec

from clusterdns.app.explain.search import MAX_NDOTS, Rules, absolute_domains
from clusterdns.dns.types import parse_type
from clusterdns.errors import ExplainError

MAX_REQUEST_BYTES = 16384
"""A name, and as many search domains as a Pod may have."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One question of ``clusterdns explain``; all of it as the command line has it.

    name: with a dot at its end it is tried as it is; an IP address stands for its reverse name.
    client: the address to ask from, empty for that of the Pod, or 127.0.0.1.
    pod: NAMESPACE/NAME. namespace: as a Pod in there, whichever. search, ndots: the search list, if none of these.
    listen: ADDRESS:PORT or PORT of the listener to ask, empty for the first one.
    """

    name: str
    type: str = "A"
    client: str = ""
    pod: str = ""
    namespace: str = ""
    search: tuple[str, ...] = ()
    ndots: int | None = None
    protocol: Literal["udp", "tcp"] = "udp"
    listen: str = ""

    def rules(self) -> Rules:
        """The search list as given. Raises ExplainError."""
        if self.ndots is not None and not 0 <= self.ndots <= MAX_NDOTS:
            raise ExplainError(f"ndots is from 0 to {MAX_NDOTS}")
        found = Rules(absolute_domains(self.search))
        return found if self.ndots is None else Rules(found.domains, self.ndots)


def question(request: Request) -> tuple[str, int]:
    """The name to look for, and the number of its type. Raises ExplainError."""
    name, rtype = request.name, request.type
    try:
        name = ip_address(name).reverse_pointer + "."
        rtype = "PTR" if rtype == "A" else rtype
    except ValueError:
        pass
    qtype = parse_type(rtype.upper())
    if qtype is None:
        raise ExplainError(f"{request.type[:40]!r} is no record type: it is A, AAAA, SRV, PTR, TXT and so on")
    if not name:
        raise ExplainError("there is no name to explain")
    return name, qtype


def client_address(text: str) -> str:
    """An IP address, checked. Raises ExplainError."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise ExplainError(f"{text[:60]!r} is no IP address") from None


def pod_key(text: str) -> tuple[str, str]:
    """Namespace and name of ``NAMESPACE/NAME``. Raises ExplainError."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ExplainError(f"{text[:200]!r} is no Pod: write NAMESPACE/NAME")
    return namespace, name
