# SPDX-License-Identifier: Apache-2.0
"""The options of ``cache``, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token, parse_with
from clusterdns.config.keys import expand_zones, is_within
from clusterdns.dns import names
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.expressions.duration import parse_duration
from clusterdns.expressions.numerals import atoi
from clusterdns.expressions.quoting import quote

MIN_CAPACITY: Final = 1024
MAX_TTL_SECONDS: Final = 0x7FFF_FFFF
_MAX_FAILURE_SECONDS: Final = 300
"""RFC 2308 section 7.1 and RFC 8767 section 5: failures aren't kept for longer than five minutes."""

_NUMBER_AND_UNIT: Final = re.compile(r"[0-9]+[a-z]+")

Kind = Literal["success", "denial"]


class Bounds(msgspec.Struct, frozen=True):
    """Of one kind of answers: entries, the longest and the shortest time that they are kept."""

    capacity: int = 9984
    max_ttl_seconds: int = 3600
    min_ttl_seconds: int = 5

    def clamp(self, ttl_seconds: int) -> int:
        """The TTL within the bounds; the upper one wins."""
        return min(max(ttl_seconds, self.min_ttl_seconds), self.max_ttl_seconds)


class Prefetch(msgspec.Struct, frozen=True):
    """An entry is asked for again in time after ``amount`` hits with less than ``gap_seconds`` between them."""

    amount: int
    gap_seconds: float = 60.0
    percentage: int = 10

    def threshold(self, ttl_seconds: int) -> int:
        """How much may be left at most of a TTL: the percentage, rounded up."""
        return -(-self.percentage * ttl_seconds // 100)


class ServeStale(msgspec.Struct, frozen=True):
    """How expired entries are used.

    seconds: for how long after they have expired.
    verify: True if they are used only where no newer answer is to be had within ``verify_seconds`` (0: no limit).
    ttl_seconds: of the records in replies.
    recheck_seconds: pause after a vain attempt to renew an entry.
    prefer_positive: True if only a newer positive answer replaces one.
    """

    seconds: float = 3600.0
    verify: bool = False
    verify_seconds: float = 0.0
    ttl_seconds: int = 0
    recheck_seconds: float = 0.0
    prefer_positive: bool = False


class CacheOptions(msgspec.Struct, frozen=True):
    """See the manual page. Zones are lower-case wire form; ``zone_texts`` the same as text, for metrics."""

    zones: tuple[bytes, ...]
    zone_texts: tuple[str, ...]
    success: Bounds = Bounds()
    denial: Bounds = Bounds(max_ttl_seconds=1800)
    servfail_seconds: float = 5.0
    prefetch: Prefetch | None = None
    stale: ServeStale | None = None
    success_disabled: tuple[bytes, ...] = ()
    denial_disabled: tuple[bytes, ...] = ()
    keepttl: bool = False


class _OptionReader:
    """Reads the lines of the directive's block."""

    def __init__(self, reader: DirectiveReader) -> None:
        self.reader = reader
        self.line = reader.once()
        self.bounds: dict[Kind, Bounds] = {"success": Bounds(), "denial": Bounds(max_ttl_seconds=1800)}
        self.disabled: dict[str, tuple[bytes, ...]] = {}
        self.servfail_seconds = 5.0
        self.prefetch: Prefetch | None = None
        self.stale: ServeStale | None = None
        self.policy: Token | None = None
        self.keepttl = False

    def read(self) -> CacheOptions | None:
        zones: list[str] = []
        with self.reader.collecting():
            zones = self._read_head()
        handlers: dict[str, Callable[[Line], None]] = {
            "success": partial(self._read_bounds, "success"),
            "denial": partial(self._read_bounds, "denial"),
            "prefetch": self._read_prefetch,
            "serve_stale": self._read_stale,
            "serve_stale_policy": self._read_policy,
            "servfail": self._read_servfail,
            "disable": self._read_disable,
            "keepttl": self._read_keepttl,
        }
        for option in self.line.block or ():
            with self.reader.collecting():
                handler = handlers.get(option.name.text)
                if handler is None:
                    raise option.wrong_count(option.name)
                option.no_block()
                handler(option)
        self._check_together()
        if self.reader.errors:
            return None
        stale = self.stale
        if stale is not None and self.policy is not None:
            stale = msgspec.structs.replace(stale, prefer_positive=True)
        return CacheOptions(
            zones=tuple(names.from_text(zone) for zone in zones),
            zone_texts=tuple(zones),
            success=self.bounds["success"],
            denial=self.bounds["denial"],
            servfail_seconds=self.servfail_seconds,
            prefetch=self.prefetch,
            stale=stale if stale is not None and stale.seconds > 0 else None,
            success_disabled=self.disabled.get("success", ()),
            denial_disabled=self.disabled.get("denial", ()),
            keepttl=self.keepttl,
        )

    def _read_head(self) -> list[str]:
        """The TTL and the zones: an argument that isn't a number is a zone, as in CoreDNS."""
        args = self.line.args
        if not args:
            return list(self.reader.block.zones)
        suspect = None
        try:
            ttl_seconds = atoi(args[0].text)
        except ExpressionError:
            suspect = args[0] if self._warn_about_duration(args[0]) else None
        else:
            ttl_seconds = _positive_ttl(args[0], ttl_seconds)
            for kind, bounds in self.bounds.items():
                self.bounds[kind] = msgspec.structs.replace(bounds, max_ttl_seconds=ttl_seconds)
            args = args[1:]
        if not args:
            return list(self.reader.block.zones)
        for token in args:
            if token is not suspect:
                self._check_zone(token)
        return expand_zones([token.text for token in args])[0]

    def _check_zone(self, token: Token) -> None:
        zones, invalid = expand_zones([token.text])
        own = self.reader.block.zones
        if invalid:
            self.reader.warn(token, f"{token.text} is not a zone and is ignored")
        elif not any(is_within(zone, other) or is_within(other, zone) for zone in zones for other in own):
            self.reader.warn(
                token,
                f"caches nothing of {token.text}: no query for that zone comes here",
                hint="the TTL is a plain number of seconds, and stands before the zones",
            )

    def _warn_about_duration(self, token: Token) -> bool:
        if _NUMBER_AND_UNIT.fullmatch(token.text) is None:
            return False
        try:
            seconds = int(parse_duration(token.text))
        except ExpressionError:
            return False
        self.reader.warn(
            token,
            f"caches only the zone {token.text}., nothing else: the TTL is a number of seconds without a unit",
            hint=f"write cache {seconds}",
        )
        return True

    def _read_bounds(self, kind: Kind, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        numbers = [_number(token) for token in option.args[:3]]
        old = self.bounds[kind]
        ttl, least = old.max_ttl_seconds, old.min_ttl_seconds
        if len(numbers) > 1:
            ttl = _positive_ttl(option.args[1], numbers[1])
        if len(numbers) > 2:
            if numbers[2] < 0:
                raise _unplaced(option.args[2], f"cache min TTL can not be negative: {numbers[2]}")
            least = min(numbers[2], MAX_TTL_SECONDS)
            if least > ttl:
                self.reader.warn(option.args[2], f"the shortest TTL is above the longest, {ttl} seconds, which wins")
        for token in option.args[3:]:
            self.reader.warn(token, f"{token.text} is ignored: {kind} takes a capacity, a TTL and a shortest TTL")
        if numbers[0] < MIN_CAPACITY:
            hint = f"to keep none, write disable {kind}" if numbers[0] <= 0 else ""
            self.reader.warn(option.args[0], f"a cache holds at least {MIN_CAPACITY} answers", hint=hint)
        self.bounds[kind] = Bounds(max(numbers[0], MIN_CAPACITY), ttl, least)

    def _read_prefetch(self, option: Line) -> None:
        option.expect(1, 3)
        amount = _number(option.args[0])
        if amount < 0:
            raise _unplaced(option.args[0], f"prefetch amount should be positive: {amount}")
        prefetch = Prefetch(amount)
        if len(option.args) > 1:
            gap_seconds = parse_with(option.args[1], parse_duration, label=ConfigError.NO_POSITION)
            prefetch = msgspec.structs.replace(prefetch, gap_seconds=gap_seconds)
        if len(option.args) > 2:
            prefetch = msgspec.structs.replace(prefetch, percentage=_percentage(option.args[2]))
        if not amount:
            self.reader.warn(option.args[0], "prefetch 0 does nothing", hint="remove it")
        self.prefetch = prefetch if amount else None

    def _read_stale(self, option: Line) -> None:
        words = option.expect(0, 5)
        args = option.args
        stale = ServeStale()
        if words:
            seconds = parse_with(args[0], parse_duration, label=ConfigError.NO_POSITION)
            if seconds < 0:
                raise _unplaced(args[0], "invalid negative duration for serve_stale")
            if not seconds:
                self.reader.warn(args[0], "serve_stale 0 keeps nothing", hint="remove it")
            stale = msgspec.structs.replace(stale, seconds=seconds)
        if len(words) > 1:
            mode = words[1].lower()
            if mode not in ("immediate", "verify"):
                raise _unplaced(args[1], f"invalid value for serve_stale refresh mode: {mode}")
            rest = args[2:]
            if mode == "verify":
                stale = msgspec.structs.replace(stale, verify=True, verify_seconds=_verify_seconds(rest[:1]))
                rest = rest[1:]
            elif len(rest) > 2:
                raise option.wrong_count()
            if rest:
                stale = msgspec.structs.replace(stale, ttl_seconds=_stale_ttl(rest[0]))
            if len(rest) > 1:
                stale = msgspec.structs.replace(stale, recheck_seconds=_recheck_seconds(rest[1]))
        self.stale = stale

    def _read_policy(self, option: Line) -> None:
        if self.policy is not None:
            raise _unplaced(option.name, "serve_stale_policy can only be specified once")
        self.policy = option.name
        (policy,) = option.expect(1)
        if policy.lower() != "prefer_positive":
            raise _unplaced(
                option.args[0], f"invalid serve_stale_policy: {policy}", hint="the only policy is prefer_positive"
            )

    def _read_servfail(self, option: Line) -> None:
        option.expect(1)
        seconds = parse_with(option.args[0], parse_duration, label=ConfigError.NO_POSITION)
        if seconds < 0:
            raise _unplaced(option.args[0], "invalid negative ttl for servfail")
        if seconds > _MAX_FAILURE_SECONDS:
            raise _unplaced(option.args[0], "caching SERVFAIL responses over 5 minutes is not permitted")
        self.servfail_seconds = seconds

    def _read_disable(self, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        kind = option.words[0]
        if kind not in self.bounds:
            raise _unplaced(option.args[0], 'cache type for disable must be "success" or "denial"')
        zones: list[str] = []
        for token in option.args[1:]:
            found, invalid = expand_zones([token.text])
            if invalid:
                raise _unplaced(token, f"invalid disabled zone: {token.text}")
            zones.extend(found)
        if kind in self.disabled:
            self.reader.warn(
                option.name, f"replaces the disable {kind} of a line before", hint="name all zones in one line"
            )
        self.disabled[kind] = tuple(names.from_text(zone) for zone in zones or ["."])

    def _read_keepttl(self, option: Line) -> None:
        option.expect(0)
        self.keepttl = True

    def _check_together(self) -> None:
        if self.policy is not None and self.stale is None:
            self.reader.report(_unplaced(self.policy, "serve_stale_policy requires serve_stale"))


def _unplaced(token: Token, message: str, *, hint: str = "") -> ConfigError:
    """A fault that CoreDNS reports without its position."""
    return token.error(message, label=ConfigError.NO_POSITION, hint=hint)


def _number(token: Token) -> int:
    return parse_with(token, atoi, label=ConfigError.NO_POSITION)


def _positive_ttl(token: Token, ttl_seconds: int) -> int:
    if ttl_seconds <= 0:
        raise _unplaced(token, f"cache TTL can not be zero or negative: {ttl_seconds}")
    return min(ttl_seconds, MAX_TTL_SECONDS)


def _percentage(token: Token) -> int:
    if not token.text.endswith("%"):
        last = quote(token.text[-1:], mark="'")
        raise _unplaced(token, f"last character of percentage should be `%`, but is: {last}")
    try:
        percentage = atoi(token.text[:-1])
    except ExpressionError as error:
        raise _unplaced(token, str(error)) from None
    if not 10 <= percentage <= 90:
        raise _unplaced(token, f"percentage should fall in range [10, 90]: {percentage}")
    return percentage


def _duration(token: Token, what: str) -> float:
    try:
        return parse_duration(token.text)
    except ExpressionError as error:
        raise _unplaced(token, f"invalid serve_stale {what}: {error}") from None


def _verify_seconds(args: tuple[Token, ...]) -> float:
    if not args:
        return 0.0
    seconds = _duration(args[0], "verify timeout")
    if seconds < 0:
        raise _unplaced(args[0], "invalid negative timeout for serve_stale verify")
    return seconds


def _stale_ttl(token: Token) -> int:
    seconds = _duration(token, "response TTL")
    if seconds < 0:
        raise _unplaced(token, "invalid negative response TTL for serve_stale")
    if seconds != int(seconds):
        raise _unplaced(token, "serve_stale response TTL must be a whole number of seconds")
    if seconds > 0xFFFF_FFFF:
        raise _unplaced(token, "serve_stale response TTL exceeds the DNS TTL range")
    return min(int(seconds), MAX_TTL_SECONDS)


def _recheck_seconds(token: Token) -> float:
    seconds = _duration(token, "failure recheck")
    if seconds < 0:
        raise _unplaced(token, "invalid negative failure recheck for serve_stale")
    if seconds > _MAX_FAILURE_SECONDS:
        raise _unplaced(token, "serve_stale failure recheck cannot exceed 5 minutes")
    return seconds


def parse(reader: DirectiveReader) -> CacheOptions | None:
    """The options of the directive; None if there are faults, which are reported to the reader."""
    return _OptionReader(reader).read()
