# SPDX-License-Identifier: Apache-2.0
import pytest
from support.serving import query

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import NOTIFY, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL
from clusterdns.dns.wire import Record
from clusterdns.serving.reply import Reply
from clusterdns.serving.response import ResponseClass, ResponseType, response_class, response_type

A = parse_record("a. A 1.2.3.4")
NS = parse_record("a. NS ns.")
SOA = parse_record("a. SOA ns. admin. 1 2 3 4 5")
NOW = 1_700_000_000


def rrsig(inception, expiration):
    times = expiration.to_bytes(4, "big") + inception.to_bytes(4, "big")
    return Record(names.from_text("a."), 46, 5, b"\0\1\x08\1\0\0\0\5" + times + b"\0\1\0" + b"sig")


@pytest.mark.parametrize(
    ("rcode", "answer", "authority", "kind"),
    [
        (0, (A,), (), "NOERROR"),
        (0, (A,), (SOA,), "NOERROR"),
        (0, (), (), "NOERROR"),
        (0, (), (SOA,), "NODATA"),
        (0, (), (NS, SOA), "NODATA"),
        (0, (), (NS,), "DELEGATION"),
        (NXDOMAIN, (), (SOA,), "NXDOMAIN"),
        (NXDOMAIN, (A,), (SOA,), "OTHERERROR"),
        (NXDOMAIN, (), (), "OTHERERROR"),
        (SERVFAIL, (), (), "SERVERERROR"),
        (NOTIMP, (), (), "SERVERERROR"),
        (REFUSED, (), (), "OTHERERROR"),
    ],
)
def test_types(rcode, answer, authority, kind):
    reply = Reply.authoritative("x", rcode, answer, authority)
    assert response_type(query(), reply, NOW) is ResponseType(kind)


def test_transfers_and_notifications_are_meta():
    assert response_type(query(rtype="AXFR"), Reply(), NOW) is ResponseType.META
    notify = query()
    notify.opcode = NOTIFY
    assert response_type(notify, Reply(), NOW) is ResponseType.META


@pytest.mark.parametrize(
    ("inception", "expiration", "good"),
    [(NOW - 5, NOW + 5, True), (NOW - 10, NOW - 5, False), (NOW + 5, NOW + 10, False), (NOW, NOW, True)],
)
@pytest.mark.parametrize("section", ["answer", "authority", "additional"])
def test_signatures_out_of_their_time_are_an_error_for_who_wants_them(inception, expiration, good, section):
    records = {"answer": (A,)}
    records[section] = (*records.get(section, ()), rrsig(inception, expiration))
    reply = Reply.authoritative("x", **records)
    wanted = response_type(query(use_edns=0, want_dnssec=True), reply, NOW)
    assert wanted is (ResponseType.NOERROR if good else ResponseType.OTHER_ERROR)
    assert response_type(query(), reply, NOW) is ResponseType.NOERROR


def test_classes():
    by_class = {
        ResponseClass.SUCCESS: {ResponseType.NOERROR, ResponseType.DELEGATION},
        ResponseClass.DENIAL: {ResponseType.NODATA, ResponseType.NXDOMAIN},
        ResponseClass.ERROR: {ResponseType.SERVER_ERROR, ResponseType.OTHER_ERROR, ResponseType.META},
    }
    for kind in ResponseType:
        assert kind in by_class[response_class(kind)]
