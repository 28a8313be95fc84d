# SPDX-License-Identifier: Apache-2.0
"""The short way of plain queries that others answer: octets in, octets on to an upstream, octets back.

Theory of operation. A *plain* query is one for addresses (A, AAAA; class IN) over UDP with nothing unusual in it. Most
chains do nothing to most of them but hand them on to ``forward``. Each plugin of a block declares what it does to plain
queries for names below a zone (``Plugin.plain``): nothing, shuffle the addresses of replies, keep replies (a Keeper),
ask others (a Relay), or something else, and then the query takes the long way through ``Engine.handle``. From that a
Path is made for each zone once.

A query on its Path is a Ticket: the client's octets and where they came from. The Relay sends them under an ID of its
own. A reply that has the question, no flag that is unusual and exactly one of the forms of ``fastpath.verbatim`` goes
back to the client, with what the Path's plugins do to it. Any other reply, and no reply in time, is a *detour*: the
query takes the long way from its beginning, and where it comes to the plugin that asks others, that one goes on with
what was asked already (the *attempt*) in place of asking a first time. So the short way decides nothing that is not
plain, and what a client gets is what the long way would have given it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import FLAG_AD, FLAG_CD, NOERROR, NXDOMAIN
from clusterdns.fastpath.verbatim import Form, Shape, read_shape
from clusterdns.serving.capabilities import Observer
from clusterdns.serving.query import MAX_UDP_BYTES, MIN_UDP_BYTES, Client, Query
from clusterdns.serving.reply import Reply

_AD: Final = FLAG_AD
_USUAL: Final = {cd: (cd | NOERROR, cd | NXDOMAIN) for cd in (0, FLAG_CD)}
"""CD and rcode of a reply, by the CD of its query."""

_DO: Final = 0x80
_MOST_TALLIES: Final = 512
_HOSTS: Final = {1: "127.0.0.1", 2: "::1"}


class PlainStep(enum.Enum):
    """What a plugin does to a plain query and its reply.

    TRANSPARENT: nothing, and it has no answer of its own (``NameOwner.owns`` is None).
    BARRING_EDNS: nothing, unless the query has an OPT record.
    SHUFFLING: the addresses of a NOERROR reply change places at random.
    """

    TRANSPARENT = "transparent"
    BARRING_EDNS = "barring EDNS"
    SHUFFLING = "shuffling"


class Unless:
    """Nothing, unless ``claims`` says at the time that a name (lower case) is its own."""

    __slots__ = ("claims",)

    def __init__(self, claims: Callable[[bytes], bool]) -> None:
        self.claims = claims


class Origin(Protocol):
    """The listener that a query came to."""

    @property
    def family(self) -> Literal[1, 2]:
        """Of its clients' addresses, see ``Client.family``."""

    def answer(self, ticket: Ticket, reply: bytes) -> None:
        """Send a reply to the client."""

    def detour(self, ticket: Ticket, attempt: Attempt) -> None:
        """Let the query take the long way."""


class Attempt:
    """What became on the short way of a query that then takes the long one; for the plugins that know each other's.

    came: when the query came, on the clock of ``time.perf_counter``.
    flight: belongs to the Keeper, which takes it over on the long way.
    """

    __slots__ = ("came", "flight")

    def __init__(self, came: float) -> None:
        self.came = came
        self.flight: Any = None


class Resumed(Query):
    """A query on the long way that was on the short one before."""

    __slots__ = ("attempt",)

    attempt: Attempt | None

    def __init__(self, packet: bytes, client: Client, attempt: Attempt) -> None:
        super().__init__(packet, client)
        self.attempt = attempt

    def derive(self, **changes: Any) -> Query:
        """See Query. Nothing was asked for another question."""
        copy = super().derive(**changes)
        assert isinstance(copy, Resumed)
        copy.attempt = None if changes.keys() & {"name", "qtype", "qclass"} else self.attempt
        return copy


class Ticket:
    """A plain query on the short way.

    packet: the client's octets; the question ends at ``end``, and ``opt`` is the OPT behind it or nothing.
    wire: what to ask, without an ID.
    form: what addresses of its type look like.
    came: see Attempt.
    origin, peer, control: where the reply goes; set by the listener.
    flight: belongs to the Keeper.
    message_id, volley: belong to the Relay.
    """

    __slots__ = (
        "came", "control", "end", "flight", "form", "message_id", "opt", "origin", "packet", "path", "peer", "volley",
        "wire",
    )  # fmt: skip

    origin: Origin
    peer: bytes
    control: bytes
    wire: bytes
    flight: Any
    message_id: int
    volley: Any

    def __init__(self, packet: bytes, end: int, opt: bytes, form: Form, path: Path, came: float) -> None:
        self.packet = packet
        self.end = end
        self.opt = opt
        self.form = form
        self.path = path
        self.came = came

    @property
    def size_limit(self) -> int:
        """As ``Query.size_limit``."""
        opt = self.opt
        return min(MAX_UDP_BYTES, max(MIN_UDP_BYTES, opt[3] << 8 | opt[4])) if opt else MIN_UDP_BYTES

    @property
    def wants_authenticated(self) -> bool:
        """True if the client wants to know about authenticated data."""
        return bool(self.packet[3] & _AD or (self.opt and self.opt[7] & _DO))


@runtime_checkable
class Keeper(Protocol):
    """What keeps replies (``cache``)."""

    def board(self, ticket: Ticket, name: bytes) -> bool | None:
        """Decide about a query for a name (lower case): True if it is to be asked, False if it waits for the reply to
        an identical one, None if it has to take the long way, as there is a reply.

        Sets the ticket's ``wire`` and ``flight``.
        """

    def keep(self, ticket: Ticket, flags: int, shape: Shape, body: bytes) -> tuple[bytes, Sequence[Ticket]] | None:
        """Keep the reply to a query that was asked. The body as it is to be shown, and the tickets of identical queries
        that wait for it, whose clients take replies of the same size; None for a detour.
        """

    def lend(self, ticket: Ticket, attempt: Attempt) -> None:
        """A query that was asked, or was to be, takes the long way, and those that wait for it go on waiting: when it
        comes to the Keeper there, that takes the flight from the attempt.
        """

    def reclaim(self, attempt: Attempt) -> None:
        """The query is on the long way. If it didn't come to the Keeper, nobody is to wait any more."""


@runtime_checkable
class Relay(Protocol):
    """What asks others (``forward``)."""

    plugin: str
    """The directive that the replies are from."""

    def send(self, tickets: list[Ticket]) -> list[Ticket]:
        """Ask for each; those that can't be asked on the short way. All of them came at the same time.

        Each of the others ends with ``Path.arrive`` or, where that says no, ``Path.detour``.
        """


@runtime_checkable
class PlainObserver(Observer, Protocol):
    """An observer that can do with counts of plain queries that were answered alike, whatever their names."""

    def observe_plain(self, query: Query, reply: Reply, size_bytes: int, number: int) -> None:
        """``number`` queries like this one got a reply like this: of the same type, length, flags, zone, and family of
        their clients; without an error, from the same plugin, of the same length and with the same rcode.
        """

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """How long they took, see HitObserver."""


Plain: TypeAlias = PlainStep | Unless | Keeper | Relay


class Path:
    """The way of plain queries that one server block answers for one of its zones.

    server, zone, observers: of the block; see Query.
    recover: told of a plugin's fault.
    bars_edns, claims: which queries take the long way all the same: with an OPT, or for some names.
    waiting: those that are to be sent.
    """

    def __init__(
        self,
        server: str,
        zone: bytes,
        observers: tuple[PlainObserver, ...],
        relay: Relay,
        keeper: Keeper | None,
        *,
        recover: Callable[[Exception], object],
        shuffles: bool,
        bars_edns: bool = False,
        claims: tuple[Callable[[bytes], bool], ...] = (),
    ) -> None:
        self.relay = relay
        self.keeper = keeper
        self.bars_edns = bars_edns
        self.claims = claims
        self.waiting: list[Ticket] = []
        self._durations: list[tuple[float, int]] = []
        self.server = server
        self._zone = zone
        self._observers = observers
        self.recover = recover
        self._draw = Random().random if shuffles else None
        self._tallies: dict[tuple[int, bytes, int, int, bool, int], list[Any]] = {}

    def arrive(self, ticket: Ticket, message: bytes) -> bool:
        """Answer with a message of the upstream that has the right ID; False if that isn't for the short way."""
        try:
            return self._pass_on(ticket, message)
        except Exception as error:
            self.recover(error)
            return False

    def _pass_on(self, ticket: Ticket, message: bytes) -> bool:
        packet, end = ticket.packet, ticket.end
        if (
            message[HEADER_BYTES:end] != packet[HEADER_BYTES:end]
            or message[2] & 0xFB != 0x80 | packet[2]  # QR and RD as they have to be, AA whatever it is, no TC
            or message[3] & 0x1F not in _USUAL[packet[3] & FLAG_CD]  # CD as it has to be, NOERROR or NXDOMAIN
        ):
            return False
        shape = read_shape(message, end, ticket.form)
        if shape is None:
            return False
        size = end + shape.size + len(ticket.opt)
        if size > MIN_UDP_BYTES and size > ticket.size_limit:
            return False
        if self.keeper is not None:
            return self._keep(self.keeper, ticket, message, shape)
        if self._draw is None and not ticket.opt and not message[11]:
            self._answer(ticket, packet[:2] + message[2:])
            return True
        self._answer(ticket, self._write(ticket, message[2:4], shape, message[end : end + shape.size]))
        return True

    def _keep(self, keeper: Keeper, ticket: Ticket, message: bytes, shape: Shape) -> bool:
        end = ticket.end
        kept = keeper.keep(ticket, message[2] << 8 | message[3], shape, message[end : end + shape.size])
        if kept is None:
            return False
        body, others = kept
        flags = message[2:4]
        self._answer(ticket, self._write(ticket, _shown(flags, ticket), shape, body))
        for other in others:
            self.took(perf_counter() - other.came, 1)
            self._answer(other, self._write(other, _shown(flags, other), shape, body))
        return True

    def _write(self, ticket: Ticket, flags: bytes, shape: Shape, body: bytes) -> bytes:
        packet, opt = ticket.packet, ticket.opt
        if self._draw is not None and shape.number > 1:
            body = shape.turned(body, int(self._draw() * shape.number))
        counts = shape.counts_with_opt if opt else shape.counts
        return b"".join((packet[:2], flags, b"\0\1", counts, packet[HEADER_BYTES : ticket.end], body, opt))

    def _answer(self, ticket: Ticket, reply: bytes) -> None:
        packet, opt, end = ticket.packet, ticket.opt, ticket.end
        do = bool(opt) and opt[7] & _DO != 0
        key = (ticket.origin.family, packet[end - 4 : end], len(packet), len(reply), do, reply[3] & 15)
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= _MOST_TALLIES:
                self.flush()
            tally = self._tallies[key] = [0, packet]
        tally[0] += 1
        ticket.origin.answer(ticket, reply)

    def took(self, seconds: float, number: int) -> None:
        """So many queries were answered so long after they came."""
        if len(self._durations) >= _MOST_TALLIES:
            self.flush()
        self._durations.append((seconds, number))

    def detour(self, ticket: Ticket, attempt: Attempt) -> None:
        """Let a query that was asked, or was to be, take the long way."""
        keeper = self.keeper
        if keeper is None:
            ticket.origin.detour(ticket, attempt)
            return
        keeper.lend(ticket, attempt)
        ticket.origin.detour(ticket, attempt)
        keeper.reclaim(attempt)

    def flush(self) -> None:
        """Tell the observers what was answered since the last time."""
        tallies, self._tallies = self._tallies, {}
        durations, self._durations = self._durations, []
        for (family, _, _, size, _, rcode), (number, packet) in tallies.items():
            query = Query(packet, Client("udp", _HOSTS[family], 0, _HOSTS[family], 0))
            query.server, query.zone = self.server, self._zone
            reply = Reply(rcode, plugin=self.relay.plugin)
            for observer in self._observers:
                try:
                    observer.observe_plain(query, reply, size, number)
                except Exception as error:
                    self.recover(error)
        for observer in self._observers if durations else ():
            observer.observe_hit_durations(self.server, self._zone, durations)


def _shown(flags: bytes, ticket: Ticket) -> bytes:
    """The flags of a reply that is kept, as the client is to see them."""
    return bytes((flags[0], flags[1] & ~_AD)) if flags[1] & _AD and not ticket.wants_authenticated else flags
