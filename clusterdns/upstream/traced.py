# SPDX-License-Identifier: Apache-2.0
"""What upstreams did about a query that is explained."""

from __future__ import annotations

from typing import Final

from clusterdns.dns.types import rcode_text
from clusterdns.serving.trace import Trace
from clusterdns.upstream.exchange import Exchange

_MILLISECONDS: Final = 1000


def note_reply(trace: Trace, plugin: str, exchange: Exchange, rcode: int, seconds: float) -> None:
    """An upstream has answered."""
    to = exchange.subject.to
    protocol = _protocol(exchange)
    trace.note(
        plugin,
        f"{to} answered {rcode_text(rcode)} in {seconds * _MILLISECONDS:.1f} ms over {protocol}",
        upstream=to,
        protocol=protocol,
        rcode=rcode_text(rcode),
        seconds=seconds,
    )


def note_failure(trace: Trace, plugin: str, to: str, error: str) -> None:
    """An upstream could not be asked, or has not answered."""
    hint = f"{to} does not answer {plugin}: can it be reached from this machine, and is a DNS server there?"
    trace.note(plugin, f"{to} gave no reply: {error}", hint=hint, upstream=to, error=error)


def _protocol(exchange: Exchange) -> str:
    if not exchange.stream:
        return "UDP"
    return "TLS" if exchange.subject.stream_only else "TCP"
