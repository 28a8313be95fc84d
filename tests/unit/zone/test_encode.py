# SPDX-License-Identifier: Apache-2.0
import dns.message
import pytest

from clusterdns.dns import names
from clusterdns.dns.types import NS, PTR, SRV, A
from clusterdns.zone.encode import MAX_BODY_BYTES, encode_addresses, encode_targets, encode_text

QUESTION = names.from_text("hl.ns.svc.cluster.local.")
HEADER = b"\x00\x00\x84\x00\x00\x01"


def message(answer, question=QUESTION, qtype=A):
    wire = HEADER + answer.counts + question + qtype.to_bytes(2, "big") + b"\x00\x01" + answer.body
    return dns.message.from_wire(wire, one_rr_per_rrset=True)


def lines(section):
    return [rrset.to_text() for rrset in section]


def target(label):
    return names.from_text(f"{label}.{names.to_text(QUESTION)}" if label else names.to_text(QUESTION))


def srv(label, port=80):
    return (b"\x00\x00\x00\x32" + port.to_bytes(2, "big"), target(label))


@pytest.mark.parametrize(("size", "record_bytes"), [(4, 16), (16, 28)])
def test_addresses_are_records_of_one_size_that_may_change_places(size, record_bytes):
    answer = encode_addresses([bytes([n]) * size for n in (1, 2, 1, 3)], 30)
    assert (answer.rotating, answer.record_bytes, len(answer.body)) == (3, record_bytes, 3 * record_bytes)
    assert len(message(answer).answer) == 3


def test_addresses_in_text():
    answer = encode_addresses([b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02"], 30)
    assert lines(message(answer).answer) == [f"hl.ns.svc.cluster.local. 30 IN A 10.0.0.{n}" for n in (1, 2)]


def test_no_addresses_are_no_answer():
    assert encode_addresses([], 30) is None


def test_a_text():
    assert lines(message(encode_text("1.1.0", 28800)).answer) == ['hl.ns.svc.cluster.local. 28800 IN TXT "1.1.0"']


def test_targets_are_whole_names_and_glue_points_at_them():
    answer = encode_targets(
        SRV, [srv("a"), srv("b"), srv("a")], [(target("a"), b"\1\2\3\4"), (target("b"), b"\0" * 16)], len(QUESTION), 5
    )
    found = message(answer, qtype=SRV)
    assert lines(found.answer) == [
        f"hl.ns.svc.cluster.local. 5 IN SRV 0 50 80 {label}.hl.ns.svc.cluster.local." for label in ("a", "b")
    ]
    assert lines(found.additional) == [
        "a.hl.ns.svc.cluster.local. 5 IN A 1.2.3.4",
        "b.hl.ns.svc.cluster.local. 5 IN AAAA ::",
    ]
    assert answer.body.count(b"\x05local") == 2


def test_glue_without_its_target_stays_out():
    answer = encode_targets(SRV, [srv("a")], [(target("b"), b"\1\2\3\4")], len(QUESTION), 5)
    assert message(answer).additional == []


def test_names_that_would_be_too_long_stay_out():
    label = "x" * 63
    long = names.from_labels([label.encode()] * 4, b"\x03svc\x00")
    assert encode_targets(PTR, [(b"", long)], (), len(QUESTION), 5) is None
    answer = encode_targets(PTR, [(b"", long), (b"", target("a"))], (), len(QUESTION), 5)
    assert len(message(answer).answer) == 1
    assert encode_targets(NS, [], (), len(QUESTION), 5) is None


def test_glue_beyond_the_reach_of_pointers_has_its_whole_name():
    labels = [f"ep-{n:04}" for n in range(400)]
    answer = encode_targets(
        SRV, [srv(label) for label in labels], [(target(label), b"\1\2\3\4") for label in labels], len(QUESTION), 5
    )
    found = message(answer, qtype=SRV)
    assert len(answer.body) > 0x4000
    assert [line.split()[0] for line in lines(found.additional)] == [names.to_text(target(label)) for label in labels]


def test_answers_longer_than_any_message_are_cut_just_behind_its_end():
    many = encode_addresses([n.to_bytes(4, "big") for n in range(10000)], 5)
    assert MAX_BODY_BYTES < len(many.body) < MAX_BODY_BYTES + 100
    assert len(message(many).answer) == many.rotating
    services = encode_targets(SRV, [srv(f"ep-{n}") for n in range(5000)], [(target("ep-1"), b"\1\2\3\4")], 25, 5)
    assert MAX_BODY_BYTES < len(services.body) < MAX_BODY_BYTES + 300
