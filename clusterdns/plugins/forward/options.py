# SPDX-License-Identifier: Apache-2.0
"""The arguments of ``forward``, one stanza after the other."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token, parse_with
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.types import NOERROR, RCODE_NUMBERS
from clusterdns.errors import ConfigError, UpstreamError, WireError
from clusterdns.expressions.duration import format_duration, parse_duration, parse_duration_nanoseconds
from clusterdns.expressions.numerals import atoi, parse_uint
from clusterdns.upstream.address import TLS, Endpoint, Named, parse_resolver, parse_upstream
from clusterdns.upstream.client import ClientOptions
from clusterdns.upstream.health import HealthCheck
from clusterdns.upstream.policy import POLICIES
from clusterdns.upstream.server import SocketOptions, TlsFiles

MOST_UPSTREAMS: Final = 15
_NONE: Final = ConfigError.NO_POSITION


class Stanza(msgspec.Struct, frozen=True):
    """One ``forward`` of a block.

    zone: whose names it forwards, excepted: but not these; all in lower-case wire form.
    upstreams: as written, duplicates removed. resolvers: whom to ask for the host names among them.
    server_name: of TLS certificates, empty for the one of each upstream.
    tls: paths as written.
    next_rcodes, next_on_nodata: replies that the next stanza is to better.
    """

    zone: bytes
    excepted: tuple[bytes, ...] = ()
    upstreams: tuple[Endpoint | Named, ...] = ()
    resolvers: tuple[Endpoint, ...] = ()
    client: ClientOptions = ClientOptions()
    sockets: SocketOptions = SocketOptions()
    check: HealthCheck = HealthCheck()
    server_name: str = ""
    tls: TlsFiles = TlsFiles()
    next_rcodes: frozenset[int] = frozenset()
    next_on_nodata: bool = False


def parse_stanzas(reader: DirectiveReader) -> tuple[Stanza, ...]:
    """All stanzas of a block, in file order."""
    stanzas: list[Stanza] = []
    for line in reader.lines:
        with reader.collecting():
            stanza = _StanzaReader(reader, line).read()
            _warn_if_never_asked(reader, line, stanza, stanzas)
            stanzas.append(stanza)
    return tuple(stanzas)


def _warn_if_never_asked(reader: DirectiveReader, line: Line, stanza: Stanza, before: list[Stanza]) -> None:
    for number, other in enumerate(before):
        passes_on = other.excepted or other.next_rcodes or other.next_on_nodata
        if names.is_in(stanza.zone, other.zone) and not passes_on:
            reader.warn(
                line.name,
                f"never asked: the forward of line {reader.lines[number].name.line} takes these names",
                hint="put the forward of the longer zone first"
                if stanza.zone != other.zone
                else "name all servers in one forward, or say in the first one with `next` when this one is asked",
            )
            return


class _StanzaReader:
    """Reads one stanza."""

    def __init__(self, reader: DirectiveReader, line: Line) -> None:
        self._reader = reader
        self._line = line
        self._fields: dict[str, dict[str, Any]] = {"stanza": {}, "client": {}, "sockets": {}, "check": {}}

    def read(self) -> Stanza:
        """The stanza. Raises ConfigError."""
        line = self._line
        if not line.args:
            raise line.wrong_count()
        zones, _ = expand_zones([line.args[0].text])
        if not zones:
            raise line.args[0].error(f"unable to normalize '{line.args[0].text}'", label=_NONE)
        if len(zones) > 1:
            self._reader.warn(
                line.args[0],
                f"Unsupported CIDR notation: '{line.args[0].text}' expands to multiple zones. Using only '{zones[0]}'.",
            )
        if len(line.args) < 2:
            raise line.wrong_count()
        self._reader.options(line, self._handlers())
        fields, sockets = self._fields["stanza"], SocketOptions(**self._fields["sockets"])
        if 0 < sockets.max_age_seconds < sockets.expire_seconds:
            ages = format_duration(sockets.max_age_seconds), format_duration(sockets.expire_seconds)
            raise line.name.error("max_age ({}) must not be less than expire ({})".format(*ages), label=_NONE)
        client = ClientOptions(**self._fields["client"])
        return Stanza(
            zone=names.from_text(zones[0]),
            upstreams=self._upstreams(line.args[1:], fields.get("server_name", "")),
            client=client,
            sockets=sockets,
            check=HealthCheck(force_tcp=client.force_tcp, **self._fields["check"]),
            **fields,
        )

    def _upstreams(self, tokens: tuple[Token, ...], server_name: str) -> tuple[Endpoint | Named, ...]:
        found: dict[Endpoint | Named, None] = {}
        for token in tokens:
            upstream = _parse(token, parse_upstream)
            if isinstance(upstream, Endpoint) and upstream.transport == TLS and server_name:
                if upstream.server_name:
                    raise token.error(
                        f"both forward ('{server_name}') and proxy level ('{upstream.server_name}') TLS servernames "
                        f"are set for upstream proxy 'tls://{upstream}'",
                        label=_NONE,
                    )
                upstream = msgspec.structs.replace(upstream, server_name=server_name)
            found[upstream] = None
        if len(found) > MOST_UPSTREAMS:
            raise tokens[0].error(f"more than {MOST_UPSTREAMS} TOs configured: {len(found)}", label=_NONE)
        return tuple(found)

    def _handlers(self) -> dict[str, Callable[[Line], None]]:
        return {
            "except": self._except,
            "force_tcp": self._flag("client", "force_tcp"),
            "prefer_udp": self._flag("client", "prefer_udp"),
            "max_fails": self._number("client", "most_fails", _uint32),
            "max_connect_attempts": self._number("client", "most_attempts", _uint32),
            "max_concurrent": self._number("client", "most_inquiries", atoi),
            "max_idle_conns": self._number("sockets", "most_idle", atoi),
            "health_check": self._health_check,
            "expire": self._duration("sockets", "expire_seconds"),
            "max_age": self._duration("sockets", "max_age_seconds"),
            "read_timeout": self._duration("client", "read_seconds", positive=True),
            "hedge": self._duration("client", "hedge_seconds", positive=True),
            "tls": self._tls,
            "tls_servername": self._server_name,
            "policy": self._policy,
            "next": self._next,
            "next_on_nodata": self._flag("stanza", "next_on_nodata"),
            "failover": self._failover,
            "failfast_all_unhealthy_upstreams": self._flag("client", "fail_fast"),
            "resolver": self._resolver,
            "source_address": self._source_address,
            "doh_method": self._doh_method,
            "use_caps_for_id": self._flag("client", "check_letters"),
        }

    def _flag(self, part: str, field: str) -> Callable[[Line], None]:
        def read(option: Line) -> None:
            option.expect(0)
            option.no_block()
            self._fields[part][field] = True

        return read

    def _number(self, part: str, field: str, parse: Callable[[str], int]) -> Callable[[Line], None]:
        def read(option: Line) -> None:
            token = _argument(option)
            value = parse_with(token, parse, label=_NONE)
            if value < 0:
                raise token.error(f"{option.name.text} can't be negative: {value}", label=_NONE)
            self._fields[part][field] = value

        return read

    def _duration(self, part: str, field: str, *, positive: bool = False) -> Callable[[Line], None]:
        def read(option: Line) -> None:
            token = _argument(option)
            seconds = parse_with(token, parse_duration, label=_NONE)
            name = option.name.text
            if positive and seconds <= 0:
                raise token.error(f"{name} must be positive: {format_duration(seconds)}", label=_NONE)
            if seconds < 0:
                raise token.error(f"{name} can't be negative: {format_duration(seconds)}", label=_NONE)
            self._fields[part][field] = seconds

        return read

    def _except(self, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        option.no_block()
        zones, invalid = expand_zones(option.words)
        for token in option.args:
            if token.text in invalid:
                self._reader.warn(token, f"'{token.text}' is no name and has no effect")
        fields = self._fields["stanza"]
        fields["excepted"] = (*fields.get("excepted", ()), *(names.from_text(zone) for zone in zones))

    def _health_check(self, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        option.no_block()
        nanoseconds = parse_with(option.args[0], parse_duration_nanoseconds, label=_NONE)
        if nanoseconds < 0:
            raise option.args[0].error(f"health_check can't be negative: {nanoseconds}", label=_NONE)
        fields: dict[str, object] = {"interval_seconds": nanoseconds / 1_000_000_000}
        rest = iter(option.args[1:])
        for token in rest:
            if token.text == "no_rec":
                fields["recursion"] = False
            elif token.text == "domain":
                domain = next(rest, None)
                if domain is None:
                    raise option.wrong_count()
                fields["domain"] = _domain(domain)
            else:
                raise token.error(f"health_check: unknown option {token.text}", label=_NONE)
        self._fields["check"] = fields

    def _tls(self, option: Line) -> None:
        words = option.expect(0, 3)
        option.no_block()
        certificate, key = words[:2] if len(words) > 1 else ("", "")
        authorities = words[0] if len(words) == 1 else words[2] if len(words) == 3 else ""
        self._fields["stanza"]["tls"] = TlsFiles(authorities, certificate, key)

    def _server_name(self, option: Line) -> None:
        self._fields["stanza"]["server_name"] = _argument(option).text

    def _policy(self, option: Line) -> None:
        token = _argument(option)
        if token.text not in POLICIES:
            raise token.error(f"unknown policy '{token.text}'")
        self._fields["client"]["policy"] = token.text

    def _next(self, option: Line) -> None:
        fields = self._fields["stanza"]
        fields["next_rcodes"] = fields.get("next_rcodes", frozenset()) | _rcodes(option)

    def _failover(self, option: Line) -> None:
        rcodes = _rcodes(option)
        if NOERROR in rcodes:
            raise option.name.error("NoError cannot be used in failover", label=_NONE)
        fields = self._fields["client"]
        fields["failover"] = fields.get("failover", frozenset()) | rcodes

    def _resolver(self, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        option.no_block()
        self._fields["stanza"]["resolvers"] = tuple(_parse(token, parse_resolver) for token in option.args)

    def _source_address(self, option: Line) -> None:
        token = _argument(option)
        try:
            source = str(ip_address(token.text))
        except ValueError:
            raise token.error(f"invalid IP address: {token.text}") from None
        self._fields["sockets"]["source"] = source

    def _doh_method(self, option: Line) -> None:
        token = _argument(option)
        if token.text not in ("GET", "POST"):
            raise token.error("doh_method must be either GET or POST", label=_NONE)
        self._reader.warn(option.name, "doh_method has no effect: https:// isn't implemented yet")


def _argument(option: Line) -> Token:
    """The one argument of an option."""
    option.expect(1)
    option.no_block()
    return option.args[0]


def _uint32(text: str) -> int:
    return parse_uint(text, 10, 32)


def _parse(token: Token, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(token.text)
    except UpstreamError as error:
        raise token.error(str(error), label=_NONE) from None


def _domain(token: Token) -> bytes:
    try:
        return names.from_text(token.text.rstrip(".") + ".").lower()
    except WireError:
        raise token.error(f"health_check: invalid domain name {token.text}", label=_NONE) from None


def _rcodes(option: Line) -> frozenset[int]:
    if not option.args:
        raise option.wrong_count()
    option.no_block()
    for token in option.args:
        if token.text.upper() not in RCODE_NUMBERS:
            raise token.error(f"{token.text} is not a valid rcode", label=_NONE)
    return frozenset(RCODE_NUMBERS[token.text.upper()] for token in option.args)
