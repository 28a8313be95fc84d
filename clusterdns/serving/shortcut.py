# SPDX-License-Identifier: Apache-2.0
"""Which queries of a listener take the short way (``serving.relay``), found out from their octets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from clusterdns.dns import names
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.fastpath.verbatim import FORMS, OPT_BYTES, is_plain_opt
from clusterdns.serving.capabilities import MetadataCollector, Observer, ReplyEditor, Tap, View
from clusterdns.serving.chain import Block
from clusterdns.serving.relay import Attempt, Keeper, Path, PlainObserver, PlainStep, Relay, Ticket, Unless
from clusterdns.serving.router import Router

_PLAIN_COUNTS: Final = b"\0\1\0\0\0\0\0\0"
_EDNS_COUNTS: Final = b"\0\1\0\0\0\0\0\1"
_UNUSUAL_FIRST: Final = 0xFE
_UNUSUAL_SECOND: Final = 0xCF
"""Bits of the two octets of flags that a plain query doesn't have: all but RD, AD and CD."""


class Shortcut:
    """The Paths of one listener, by zone.

    Where a plugin changes what it does to plain queries there is a zone (``Plugin.plain_zones``), so all names below a
    zone that are below no closer one have the same Path, or none. The names of the zones themselves have none.
    """

    def __init__(self, server: str, router: Router, recover: Callable[[Block, Exception], object]) -> None:
        """``recover`` is told of a plugin's fault."""
        self._server = server
        self._router = router
        self._recover = recover
        self._paths: dict[bytes, Path | None] | None = None
        self._due: list[Path] = []

    def take(self, packet: bytes, now: float) -> Ticket | None:
        """The ticket of a plain query that came ``now``, None for what has to take the long way.

        The caller says where it came from, and then calls ``send``.
        """
        paths = self._paths
        if paths is None:
            paths = self._paths = self._find_paths()
        if not paths or len(packet) <= HEADER_BYTES or packet[2] & _UNUSUAL_FIRST or packet[3] & _UNUSUAL_SECOND:
            return None
        position = HEADER_BYTES
        try:
            while length := packet[position]:
                if length > names.MAX_LABEL_BYTES:
                    return None
                position += 1 + length
        except IndexError:
            return None
        end = position + 5
        form = FORMS.get(packet[position + 1 : end])
        if form is None or position - HEADER_BYTES >= names.MAX_NAME_BYTES:
            return None
        opt = packet[end:]
        counts = packet[4:HEADER_BYTES]
        if (counts != _PLAIN_COUNTS or opt) and (counts != _EDNS_COUNTS or not _is_plain(opt)):
            return None
        name = packet[HEADER_BYTES : position + 1].lower()
        path = _closest(paths, name)
        if path is None or (opt and path.bars_edns):
            return None
        ticket = Ticket(packet, end, opt, form, path, now)
        try:
            for claims in path.claims:
                if claims(name):
                    return None
            if path.keeper is None:
                ticket.wire = packet[2:]
            else:
                asked = path.keeper.board(ticket, name)
                if not asked:
                    return None if asked is None else ticket
        except Exception as error:
            path.recover(error)
            return None
        waiting = path.waiting
        if not waiting:
            self._due.append(path)
        waiting.append(ticket)
        return ticket

    def send(self) -> None:
        """Ask for the queries taken since the last time."""
        due, self._due = self._due, []
        for path in due:
            tickets, path.waiting = path.waiting, []
            for ticket in path.relay.send(tickets):
                path.detour(ticket, Attempt(ticket.came))

    def flush(self) -> None:
        """Tell the observers what was answered since the last time."""
        for path in (self._paths or {}).values():
            if path is not None:
                path.flush()

    # Finding the paths

    def _find_paths(self) -> dict[bytes, Path | None]:
        blocks = self._router.blocks
        zones = set(blocks)
        for sharing in blocks.values():
            for block in sharing:
                for plugin in block.plugins:
                    zones.update(plugin.plain_zones())
        paths = {zone: self._path(zone) for zone in zones}
        return paths if any(paths.values()) else {}

    def _path(self, zone: bytes) -> Path | None:
        for suffix in names.suffixes(zone):
            sharing = self._router.blocks.get(suffix, ())
            if sharing:
                return None if len(sharing) > 1 else self._path_of(suffix, sharing[0], zone)
        return None

    def _path_of(self, block_zone: bytes, block: Block, zone: bytes) -> Path | None:
        observers = _plain_observers(block)
        if observers is None:
            return None
        keeper: Keeper | None = None
        shuffles = bars_edns = False
        claims: list[Callable[[bytes], bool]] = []
        for plugin in block.plugins:
            if not plugin.in_chain:
                continue
            step = plugin.plain(zone)
            if step is PlainStep.TRANSPARENT:
                continue
            if step is PlainStep.BARRING_EDNS:
                bars_edns = True
            elif isinstance(step, Unless):
                claims.append(step.claims)
            elif isinstance(step, Relay):
                return Path(
                    self._server,
                    block_zone,
                    observers,
                    step,
                    keeper,
                    recover=partial(self._recover, block),
                    shuffles=shuffles,
                    bars_edns=bars_edns,
                    claims=tuple(claims),
                )
            elif keeper is not None:
                return None  # what it keeps is what comes from the relay
            elif step is PlainStep.SHUFFLING:
                shuffles = True
            elif isinstance(step, Keeper):
                keeper = step
            else:
                return None
        return None


def _plain_observers(block: Block) -> tuple[PlainObserver, ...] | None:
    """Those who look at the queries of a block; None if one of its plugins has to see each of them."""
    for plugin in block.plugins:
        if isinstance(plugin, (MetadataCollector, ReplyEditor, Tap, View)):
            return None
        if isinstance(plugin, Observer) and not isinstance(plugin, PlainObserver):
            return None
    return tuple(plugin for plugin in block.plugins if isinstance(plugin, PlainObserver))


def _closest(paths: dict[bytes, Path | None], name: bytes) -> Path | None:
    """The Path of the closest zone that a name is below."""
    if name in paths:
        return None
    position = 0
    while length := name[position]:
        position += 1 + length
        zone = name[position:]
        if zone in paths:
            return paths[zone]
    return None


def _is_plain(opt: bytes) -> bool:
    """True for the OPT record of a query with version 0, without options, and without flags but DO."""
    return len(opt) == OPT_BYTES and is_plain_opt(opt, 0) and opt[5:7] == b"\0\0" and not opt[7] & 0x7F and not opt[8]
