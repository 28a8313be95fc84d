# SPDX-License-Identifier: Apache-2.0
"""The arguments of ``dnstap``."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.expressions.numerals import atoi
from clusterdns.upstream.server import TlsFiles

UNIX: Final = "unix"
TCP: Final = "tcp"
TLS: Final = "tls"

MESSAGES_PER_QUEUE: Final = 10_000
_MEBIBYTE: Final = 1024 * 1024
_MOST_BUFFER_MIB: Final = 1024
_MOST_QUEUES: Final = 4096
_LISTEN: Final = "listen"
_FULL: Final = "full"


class Place(msgspec.Struct, frozen=True):
    """Where a collector is, or where it finds us. ``path`` is that of a Unix socket, ``host`` may be empty for all."""

    transport: str
    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        """As Go has it in errors: ``unix /run/tap.sock``, ``tcp 10.0.0.1:6000``."""
        if self.transport == UNIX:
            return f"unix {self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp {host}:{self.port}"


class Tap(msgspec.Struct, frozen=True):
    """One use of the directive.

    listen: True if collectors connect to us.
    full: True if the DNS messages are sent, too.
    buffer_bytes: of each socket; queue_messages: how many may wait for each collector.
    identity, version: None for the defaults. extra: text with placeholders, empty for none.
    verify: False if the other side's certificate doesn't matter.
    tls: for listeners.
    """

    place: Place
    listen: bool = False
    full: bool = False
    buffer_bytes: int = _MEBIBYTE
    queue_messages: int = MESSAGES_PER_QUEUE
    identity: str | None = None
    version: str | None = None
    extra: str = ""
    verify: bool = True
    tls: TlsFiles = TlsFiles()


def parse_taps(reader: DirectiveReader) -> tuple[Tap, ...]:
    """All uses in a server block."""
    taps: list[Tap] = []
    for line in reader.lines:
        with reader.collecting():
            tap = _LineReader(reader, line).read()
            if any(tap.place == other.place for other in taps):
                reader.warn(line.args[0], f"{line.args[0].text} is given every message twice", hint="remove one")
            taps.append(tap)
    return tuple(taps)


class _LineReader:
    """Reads one use."""

    def __init__(self, reader: DirectiveReader, line: Line) -> None:
        self._reader = reader
        self._line = line
        self._listen = bool(line.args) and line.args[0].text == _LISTEN
        self._args = line.args[1:] if self._listen else line.args
        self._fields: dict[str, object] = {}
        self._verify: Token | None = None
        self._tls: Token | None = None

    def read(self) -> Tap:
        if not self._args:
            if self._listen:
                raise self._line.args[0].error("dnstap listen requires an endpoint argument")
            raise self._line.wrong_count()
        self._read_arguments()
        place = self._read_place(self._args[0])
        self._reader.options(
            self._line,
            {
                "identity": self._read_text,
                "version": self._read_text,
                "extra": self._read_text,
                "skipverify": self._read_skipverify,
                "tls": self._read_tls,
            },
        )
        self._check(place)
        return msgspec.convert({"place": place, "listen": self._listen, **self._fields}, Tap)

    def _read_arguments(self) -> None:
        args = self._args
        if len(args) > 1:
            self._fields["full"] = args[1].text == _FULL
            if args[1].text != _FULL:
                self._reader.warn(
                    args[1], f"'{args[1].text}' has no effect", hint=f"write {_FULL} in its place, or nothing"
                )
        if len(args) > 2:
            mebibytes = _multiple(args[2], "MultipleTcpWriteBuf", _MOST_BUFFER_MIB, "MiB units")
            self._fields["buffer_bytes"] = mebibytes * _MEBIBYTE
        if len(args) > 3:
            queues = _multiple(args[3], "MultipleQueue", _MOST_QUEUES, "x10k messages")
            self._fields["queue_messages"] = queues * MESSAGES_PER_QUEUE
        for token in args[4:]:
            self._reader.warn(token, f"'{token.text}' has no effect", hint="remove it")

    def _read_place(self, token: Token) -> Place:
        text = token.text
        scheme = text.partition("://")[0]
        if scheme not in (TCP, TLS) or scheme == text:
            if scheme not in (UNIX, text):
                self._reader.warn(
                    token, f"{text} is taken for the path of a Unix socket", hint="write tcp:// or tls://"
                )
            path = text.removeprefix("unix://")
            if not path:
                raise token.error("the path of the socket is missing", label=ConfigError.NO_POSITION)
            return Place(UNIX, path)
        try:
            url = urlsplit(text)
            host, port = url.hostname or "", url.port
        except ValueError:
            raise self._line.wrong_count(token) from None
        if not port or not (host or self._listen):
            raise token.error(
                f"address {url.netloc}: missing {'port' if host or self._listen else 'host'} in address",
                label=ConfigError.NO_POSITION,
                hint=f"write {scheme}://HOST:PORT",
            )
        return Place(scheme, host=host, port=port)

    def _read_text(self, option: Line) -> None:
        token = _one_argument(option)
        self._fields[option.name.text] = token.text

    def _read_skipverify(self, option: Line) -> None:
        _nothing_behind(option, 0)
        self._verify = option.name
        self._fields["verify"] = False

    def _read_tls(self, option: Line) -> None:
        if not self._listen:
            raise option.name.error("tls directive only valid for listeners")
        if len(option.args) < 2:
            raise option.name.error("tls requires cert and key file paths")
        option.no_block()
        for token in option.args[3:]:
            self._reader.warn(token, f"'{token.text}' has no effect", hint="remove it")
        certificate, key, authorities = (*option.words, "")[:3]
        self._tls = option.name
        self._fields["tls"] = TlsFiles(authorities, certificate, key)

    def _check(self, place: Place) -> None:
        """What can't work, and what has no effect."""
        if place.transport == TLS and self._listen and self._tls is None:
            raise self._args[0].error(
                "TLS listener requires cert and key files",
                label=ConfigError.NO_POSITION,
                hint="add to its block: tls CERT KEY",
            )
        for token in (self._verify, self._tls):
            if token is not None and place.transport != TLS:
                self._reader.warn(token, f"{token.text} has no effect without tls://", hint="remove it")


def _multiple(token: Token, name: str, most: int, unit: str) -> int:
    try:
        number = atoi(token.text)
    except ExpressionError as error:
        raise token.error(f'dnstap: invalid {name} "{token.text}": {error}') from None
    if not 1 <= number <= most:
        raise token.error(f"dnstap: {name} must be between 1 and {most} ({unit}): {number}")
    return number


def _one_argument(option: Line) -> Token:
    if not option.args:
        raise option.wrong_count()
    _nothing_behind(option, 1)
    return option.args[0]


def _nothing_behind(option: Line, count: int) -> None:
    """Raise CoreDNS's error for arguments too many: it takes them for options."""
    for token in option.args[count:]:
        raise token.error(f"unknown property '{token.text}'")
    if option.opening is not None:
        raise option.opening.error("unknown property '{'")
