# SPDX-License-Identifier: Apache-2.0
"""The answers of two instances to the same questions, and where they differ.

Compared is what a client can tell: rcode, flags, and the records of each section, in whatever order. Not compared are
the serial numbers of SOA records, which say when a zone was read, and TTLs unless they are asked for, because those of
answers that other servers have cached count down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias

import msgspec

from clusterdns.app.explain.asking import ask, choose_listener, encode_query
from clusterdns.app.explain.message import Message, decode_message
from clusterdns.app.instance import Instance
from clusterdns.dns import names
from clusterdns.dns.masterfile import record_text
from clusterdns.dns.types import FLAG_AA, FLAG_AD, FLAG_RA, OPT, SOA, rcode_text, type_text
from clusterdns.dns.wire import Record
from clusterdns.serving.capabilities import ZoneSource
from clusterdns.serving.engine import Engine
from clusterdns.serving.query import Client
from clusterdns.serving.trace import Trace

Question: TypeAlias = tuple[bytes, int]
"""A name in wire form, and a type."""

BATCH: Final = 64
"""Questions under way at a time."""

_FLAGS: Final = (("aa", FLAG_AA), ("ra", FLAG_RA), ("ad", FLAG_AD))
_SERIAL: Final = slice(-20, -16)
"""Of a SOA record's data."""

_CLIENT_PORT: Final = 53535
_LOOPBACK: Final = "127.0.0.1"


class Answer(msgspec.Struct, frozen=True):
    """What a client gets.

    rcode: empty where there is no reply.
    records: in zone-file form, sorted within each section; ``?`` stands before authority records, ``+`` before
        additional ones.
    """

    rcode: str
    flags: str
    records: tuple[str, ...]


class Difference(msgspec.Struct, frozen=True):
    """A question that is answered differently."""

    name: str
    type: str
    old: Answer
    new: Answer


class Comparison:
    """Asks both instances.

    listen: ADDRESS:PORT or PORT of the listeners to ask, empty for the first of each. client: the address to ask from.
    ttl: True if TTLs are compared. Raises ExplainError for a listener that isn't there.
    """

    def __init__(self, old: Instance, new: Instance, *, listen: str = "", client: str = "", ttl: bool = False) -> None:
        self._sides = [(choose_listener(instance, listen)) for instance in (old, new)]
        self._client = client or _LOOPBACK
        self._ttl = ttl
        self.asked = 0

    async def differences(self, questions: Iterable[Question]) -> list[Difference]:
        """The questions with different answers, in their order."""
        found: list[Difference] = []
        remaining = iter(questions)
        while batch := list(islice(remaining, BATCH)):
            self.asked += len(batch)
            results = await asyncio.gather(*(self._compare(question) for question in batch))
            found.extend(result for result in results if result is not None)
        return found

    async def _compare(self, question: Question) -> Difference | None:
        for _ in range(2):  # once more, in case another server had a bad moment
            old, new = [await self._answer(listen[1], engine, question) for listen, engine in self._sides]
            if old == new:
                return None
        return Difference(names.to_text(question[0]), type_text(question[1]), old, new)

    async def _answer(self, port: int, engine: Engine, question: Question) -> Answer:
        packet = encode_query(*question)
        message: Message | None = None
        for protocol in ("udp", "tcp"):
            client = Client(protocol, self._client, _CLIENT_PORT, _LOOPBACK, port)
            octets = await ask(engine, packet, client, Trace())  # with a trace it is neither logged nor counted
            message = None if octets is None else decode_message(octets)
            if message is None or not message.truncated:
                break
        return Answer("", "", ()) if message is None else self._comparable(message)

    def _comparable(self, message: Message) -> Answer:
        sections = (("", message.answer), ("? ", message.authority), ("+ ", message.additional))
        records = tuple(
            text
            for mark, section in sections
            for text in sorted(mark + self._text(record) for record in section if record.rtype != OPT)
        )
        flags = " ".join(word for word, bit in _FLAGS if message.flags & bit)
        return Answer(rcode_text(message.rcode), flags, records)

    def _text(self, record: Record) -> str:
        data = record.data
        if record.rtype == SOA and len(data) > 20:
            data = data[: _SERIAL.start] + bytes(4) + data[_SERIAL.stop :]
        text = record_text(Record(record.name.lower(), record.rtype, record.ttl, data, record.rclass))
        owner, ttl, rest = text.split("\t", 2)
        return f"{owner}\t{ttl}\t{rest}" if self._ttl else f"{owner}\t{rest}"


def own_questions(*instances: Instance) -> Iterator[Question]:
    """Every name that one of the instances has itself, with the types of its records: those of the cluster (Services,
    endpoints, Pods, addresses) and of the zones that are in files or were transferred; each once.
    """
    seen: set[Question] = set()
    for instance in instances:
        for plugin in instance.plugins:
            if not isinstance(plugin, ZoneSource):
                continue
            for zone in plugin.transferable():
                for record in plugin.zone_records(zone) or ():
                    question = (record.name.lower(), record.rtype)
                    if question not in seen:
                        seen.add(question)
                        yield question
