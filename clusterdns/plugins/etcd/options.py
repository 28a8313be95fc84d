# SPDX-License-Identifier: Apache-2.0
"""The arguments of ``etcd``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.expressions.duration import parse_duration
from clusterdns.plugins.etcd.store import LeaseBounds
from clusterdns.serving.zones import read_fallthrough, read_zones
from clusterdns.upstream.server import TlsFiles

DEFAULT_PATH: Final = "/skydns"
DEFAULT_ENDPOINT: Final = "http://localhost:2379"
_MOST_TTL_SECONDS: Final = 0xFFFF_FFFF
_FORMATS: Final = "invalid TTL format, use format like '30', '30s', '5m', '1h', or '2h30m'"
_ANSWERING: Final = frozenset(("forward", "grpc", "erratic", "whoami"))


class Options(msgspec.Struct, frozen=True):
    """Zones in lower-case wire form; ``endpoints`` are URLs without a path; ``tls`` is None where it isn't written."""

    zones: tuple[bytes, ...]
    path: str = DEFAULT_PATH
    endpoints: tuple[str, ...] = (DEFAULT_ENDPOINT,)
    user: str = ""
    password: str = ""
    tls: TlsFiles | None = None
    fallthrough: tuple[bytes, ...] = ()
    leases: LeaseBounds = LeaseBounds()


def parse_options(reader: DirectiveReader) -> Options:
    """The first use in a server block, which alone counts."""
    return _Parser(reader).read()


class _Parser:
    """Reads one use."""

    def __init__(self, reader: DirectiveReader) -> None:
        self._reader = reader
        self._options = Options(zones=())
        self._endpoints: tuple[Token, ...] = ()
        self._tls: Token | None = None

    def read(self) -> Options:
        line = self._reader.first()
        self._set(zones=read_zones(self._reader, line.args))
        handlers: dict[str, Callable[[Line], None]] = {
            "path": self._read_path,
            "endpoint": self._read_endpoints,
            "credentials": self._read_credentials,
            "tls": self._read_tls,
            "fallthrough": self._read_fallthrough,
            "min-lease-ttl": self._read_least_ttl,
            "max-lease-ttl": self._read_most_ttl,
            "stubzones": self._ignore,
            "debug": self._ignore,
            "upstream": self._ignore_all,
        }
        self._reader.options(line, handlers)
        if self._endpoints:
            with self._reader.collecting():
                self._set(endpoints=tuple(_endpoint(token, tls=self._tls is not None) for token in self._endpoints))
        self._warn(line)
        return self._options

    def _set(self, **fields: object) -> None:
        self._options = msgspec.structs.replace(self._options, **fields)

    def _warn(self, line: Line) -> None:
        """Tell what loads but surely isn't meant."""
        options = self._options
        if options.leases.least > options.leases.most:
            self._reader.warn(line.name, "max-lease-ttl is less than min-lease-ttl, which has no effect")
        if self._tls is not None and not any(each.startswith("https:") for each in options.endpoints):
            self._reader.warn(self._tls, "tls has no effect: no endpoint begins with https://")
        if not line.args and not options.fallthrough and _ANSWERING & self._reader.block.directives:
            self._reader.warn(
                line.name,
                "names that aren't in etcd get NXDOMAIN: they don't reach the directives behind etcd",
                hint="add fallthrough to its block, or write its zones behind etcd",
            )

    def _read_path(self, option: Line) -> None:
        self._set(path=_one_argument(option).text)

    def _read_endpoints(self, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        _no_block(option)
        self._endpoints = option.args

    def _read_credentials(self, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        _no_block(option)
        if len(option.args) != 2:
            raise option.last.error("credentials requires 2 arguments, username and password")
        self._set(user=option.words[0], password=option.words[1])

    def _read_tls(self, option: Line) -> None:
        _no_block(option)
        words = option.words
        if len(words) > 3:
            raise option.args[3].error(
                f"maximum of three arguments allowed for TLS config, found {len(words)}", label=ConfigError.NO_POSITION
            )
        certificate, key = words[:2] if len(words) > 1 else ("", "")
        authorities = words[0] if len(words) == 1 else words[2] if len(words) == 3 else ""
        self._tls = option.name
        self._set(tls=TlsFiles(authorities, certificate, key))

    def _read_fallthrough(self, option: Line) -> None:
        _no_block(option)
        self._set(fallthrough=read_fallthrough(self._reader, option))

    def _read_least_ttl(self, option: Line) -> None:
        seconds = _ttl(option)
        self._set(leases=msgspec.structs.replace(self._options.leases, least=seconds or LeaseBounds().least))

    def _read_most_ttl(self, option: Line) -> None:
        seconds = _ttl(option)
        self._set(leases=msgspec.structs.replace(self._options.leases, most=seconds or LeaseBounds().most))

    def _ignore(self, option: Line) -> None:
        """What older versions of CoreDNS had, and newer ones overlook."""
        _no_more(option, 0)
        self._reader.warn(option.name, f"{option.name.text} does nothing any more", hint="remove it")

    def _ignore_all(self, option: Line) -> None:
        _no_block(option)
        self._reader.warn(option.name, "upstream does nothing any more", hint="remove it: this server is asked itself")


def _endpoint(token: Token, *, tls: bool) -> str:
    """The URL of an endpoint without a path; without a scheme it is ``https`` where there is ``tls``."""
    text = token.text if "://" in token.text else f"{'https' if tls else 'http'}://{token.text}"
    try:
        url = urlsplit(text)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise token.error(
            f"'{token.text}' is no endpoint", label=ConfigError.NO_POSITION, hint="write http://HOST:PORT, or https://"
        )
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _ttl(option: Line) -> int:
    """Whole seconds; 0 stands for the default."""
    token = _one_argument(option)
    text = token.text.strip()
    if not text:
        return 0
    try:
        seconds = parse_duration(f"{text}s" if text.isascii() and text.isdigit() else text)
    except ExpressionError:
        raise token.error(f"invalid {option.name.text} value: {_FORMATS}") from None
    if seconds < 0:
        raise token.error(f"invalid {option.name.text} value: TTL must be non-negative")
    if seconds > _MOST_TTL_SECONDS:
        raise token.error(f"invalid {option.name.text} value: TTL too large, maximum is {_MOST_TTL_SECONDS} seconds")
    return int(seconds)


def _one_argument(option: Line) -> Token:
    if not option.args:
        raise option.wrong_count()
    _no_more(option, 1)
    return option.args[0]


def _no_more(option: Line, count: int) -> None:
    """Raise CoreDNS's error for arguments too many: it takes them for options."""
    for token in option.args[count:]:
        raise token.error(f"unknown property '{token.text}'")
    _no_block(option)


def _no_block(option: Line) -> None:
    if option.opening is not None:
        raise option.opening.error("unknown property '{'")
