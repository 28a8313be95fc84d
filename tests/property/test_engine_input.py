# SPDX-License-Identifier: Apache-2.0
"""Whatever arrives: a reply that is a reply to it, or silence; never an exception."""

import dns.message
from hypothesis import example, given
from hypothesis import strategies as st
from support.serving import Answering, Faults, client, make_engine, wire

from clusterdns.dns import types
from clusterdns.dns.wire import Record
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.reply import Reply

COMPILED = CompiledAnswer(0, counts(3), b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\12\0\0\1" * 3, rotating=3, record_bytes=16)
VALID = wire("a.b.example.org.", use_edns=0)


def records(query):
    data = b"\x04text" * 20
    return Reply.authoritative("x", 0, tuple(Record(query.name, types.TXT, 5, data) for _ in range(30)))


ANSWERS = {"compiled": lambda query: Reply.of_compiled("x", COMPILED), "records": records}


@st.composite
def damaged(draw):
    """A query with some octets changed, cut or added."""
    packet = bytearray(VALID)
    for _ in range(draw(st.integers(0, 4))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(0, len(packet)))] if draw(st.booleans()) else packet) + draw(
        st.binary(max_size=20)
    )


@given(st.binary(max_size=80) | damaged(), st.sampled_from(sorted(ANSWERS)), st.sampled_from(["udp", "tcp"]))
@example(VALID, "compiled", "udp")
def test_any_octets_get_a_reply_or_silence(packet, answer, protocol):
    faults = Faults()
    engine = make_engine({"example.org.": [Answering(ANSWERS[answer])]}, faults)
    reply = engine.handle(packet, client(protocol))
    assert faults.panics == 0
    if reply is None:
        assert len(packet) < 12 or packet[2] & 0x80
        return
    assert reply[:2] == packet[:2]
    assert reply[2] & 0x80
    assert len(reply) <= (65535 if protocol == "tcp" else 65535 if int.from_bytes(packet[10:12], "big") else 512)
    parsed = dns.message.from_wire(reply, ignore_trailing=False)
    assert parsed.opcode() == packet[2] >> 3 & 15


@given(damaged())
def test_a_remembered_reply_equals_a_fresh_one(packet):
    plugin = Answering(ANSWERS["compiled"])
    engine = make_engine({"example.org.": [plugin]})
    fresh = engine.handle(packet, client())
    assert engine.handle(packet, client()) == fresh
    entry = engine.memo("udp", 1).entries.get(packet[2:])
    if entry is not None:
        assert packet[:2] + entry[2][0] == fresh
        assert engine.handle(packet, client()) == fresh
