# SPDX-License-Identifier: Apache-2.0
import dns.flags
import dns.message
import dns.opcode
import dns.rrset
import pytest

from clusterdns.dns import names
from clusterdns.dns.types import AXFR
from clusterdns.dns.wire import Record
from clusterdns.errors import UpstreamError
from clusterdns.zone import transfer
from clusterdns.zone.transfer import TransferReader, encode_notify, encode_question, read_serial, requested_serial

ORIGIN = names.from_text("example.org.")
SOA = ("example.org.", "SOA", "ns. admin. {} 2 3 4 5")


def soa(serial=7):
    return (SOA[0], SOA[1], SOA[2].format(serial))


def host(number):
    return (f"h{number}.example.org.", "A", "192.0.2.1")


def message(*records, message_id=1, rcode=0, qr=True):
    reply = dns.message.make_query("example.org.", "AXFR", id=message_id)
    reply.flags = dns.flags.QR if qr else 0
    reply.set_rcode(rcode)
    reply.answer = [dns.rrset.from_text(name, 5, "IN", rtype, data) for name, rtype, data in records]
    wire = reply.to_wire()
    assert int.from_bytes(wire[6:8], "big") == len(records)
    return wire


def read(*messages):
    reader = TransferReader(ORIGIN, 1)
    return [record for each in messages for record in reader.read(each)], reader.done


def test_a_transfer_in_one_message():
    records, done = read(message(soa(), host(1), soa()))
    assert ([record.rtype for record in records], done) == ([6, 1], True)
    assert isinstance(records[0], Record)


def test_a_transfer_in_several_messages():
    records, done = read(message(soa()), message(host(1), host(2)), message(host(3)), message(soa()))
    assert ([record.rtype for record in records], done) == ([6, 1, 1, 1], True)


def test_it_is_not_done_before_the_closing_soa():
    assert read(message(soa(), host(1)))[1] is False


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (message(host(1), soa()), "the transfer does not begin with the SOA of example.org."),
        (message(rcode=5), "rcode was REFUSED"),
        (message(soa(), message_id=2), "not a reply to what was asked"),
        (message(soa(), qr=False), "not a reply to what was asked"),
        (message(), "a message of the transfer has no records"),
        (message(soa(1), host(1), soa(2)), "the zone changed during its transfer"),
        (message(soa(), host(1))[:-3], "record data runs over the end of the message"),
        (b"\0\1", "not a reply to what was asked"),
    ],
)
def test_faults(wire, reason):
    with pytest.raises(UpstreamError) as caught:
        read(wire)
    assert str(caught.value) == reason


def test_the_size_of_a_transfer_is_bounded(monkeypatch):
    monkeypatch.setattr(transfer, "MAX_TRANSFER_BYTES", 100)
    with pytest.raises(UpstreamError, match="larger than 100 octets"):
        read(message(soa(), host(1)), message(host(2)))


def test_a_soa_record_that_is_too_short_is_a_fault():
    record = b"\x07example\x03org\0\0\6\0\1\0\0\0\5\0\3\0\0\0"
    wire = bytes.fromhex("000180000000000100000000") + record
    with pytest.raises(UpstreamError, match="SOA record is shorter"):
        read_serial(wire, 1, ORIGIN)
    whole = bytes.fromhex("000180000000000200000000") + record + record
    with pytest.raises(UpstreamError, match="SOA record is shorter"):
        read(whole)


def test_the_query_is_what_others_send():
    theirs = dns.message.make_query("example.org.", "AXFR", id=9, flags=0).to_wire()
    assert encode_question(9, ORIGIN, AXFR) == theirs


def test_notify_is_authoritative_and_asks_for_the_soa():
    found = dns.message.from_wire(encode_notify(9, ORIGIN))
    assert (found.opcode(), found.flags & dns.flags.AA, found.id) == (dns.opcode.NOTIFY, dns.flags.AA, 9)
    assert found.question[0].to_text() == "example.org. IN SOA"


def test_the_serial_number_of_a_reply():
    assert read_serial(message(soa(42)), 1, ORIGIN) == 42
    with pytest.raises(UpstreamError, match="no SOA record"):
        read_serial(message(host(1)), 1, ORIGIN)


def test_the_serial_number_of_an_ixfr_query():
    query = dns.message.make_query("example.org.", "IXFR")
    end = len(query.to_wire())
    assert requested_serial(query.to_wire(), end) is None
    query.authority = [dns.rrset.from_text("example.org.", 0, "IN", "SOA", soa(5)[2])]
    assert requested_serial(query.to_wire(), end) == 5
    assert requested_serial(query.to_wire()[:-4], end) is None
    query.authority = [dns.rrset.from_text("example.org.", 0, "IN", "A", "192.0.2.1")]
    assert requested_serial(query.to_wire(), end) is None
