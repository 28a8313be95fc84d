# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import check, client, finished, make, parse, query

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_file
from clusterdns.dns.types import FLAG_AA, NOERROR, NOTIFY, SERVFAIL
from clusterdns.upstream.address import Endpoint
from clusterdns.zone.tree import build_zone

ORIGIN = names.from_text("example.org.")
ZONE = build_zone(ORIGIN, parse_file("$TTL 5\n@ SOA ns admin 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.1\n", ORIGIN))
AT = "plugin/secondary: Corefile:"
REQUIRED = "secondary zones require a transfer from property"
TEXT = "secondary {\ntransfer from 192.0.2.1\n}"


def test_all_options():
    options = parse("secondary a.test {\ntransfer from 192.0.2.1 [::1]:54\ntransfer from 192.0.2.2\nfallthrough\n}")
    primaries = (Endpoint("192.0.2.1"), Endpoint("::1", 54), Endpoint("192.0.2.2"))
    assert options.primaries == ((names.from_text("a.test."), primaries),)
    assert options.fallthrough == (names.ROOT,)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("secondary", f"{AT}2 - Error during parsing: {REQUIRED}"),
        ("secondary {\nfallthrough\n}", f"{AT}4 - Error during parsing: {REQUIRED}"),
        ("secondary {\ntransfer to *\n}", f"{AT}3 - Error during parsing: unknown property to"),
        ("secondary {\ntransfer from *\n}", "plugin/secondary: can't use '*' in transfer from"),
        ("secondary {\ntransfer from x\n}", "plugin/secondary: must specify an IP address: `x'"),
        ("secondary {\nnope\n}", f"{AT}3 - Error during parsing: unknown property 'nope'"),
        ("secondary {\ncatalog a.test\n}", f"{AT}3 - Error during parsing: 'catalog' isn't implemented yet"),
    ],
)
def test_faults(text, error):
    assert [each.coredns_text() for each in check(text).errors] == [error]


def test_each_zone_is_kept_by_a_task():
    plugin = make("secondary a.test b.test {\ntransfer from 192.0.2.1\n}")
    finished(plugin.start())
    leases = [lease for _, lease in plugin.services.spawned]
    assert len(leases) == 2
    finished(plugin.stop(True))
    assert all(lease.released for lease in leases)


def test_a_zone_is_servfail_before_it_is_there_and_after_it_has_expired():
    plugin = make(TEXT)
    assert plugin.handle(query()).rcode == SERVFAIL
    plugin._publish_zone(ORIGIN, ZONE)
    assert plugin.handle(query()).rcode == NOERROR
    plugin._publish_zone(ORIGIN, None)
    assert plugin.handle(query()).rcode == SERVFAIL
    assert plugin.setup.published == 2


@pytest.mark.parametrize(
    ("option", "by"), [("", "secondary"), ("fallthrough", "behind"), ("fallthrough a.test", "secondary")]
)
def test_fallthrough(option, by):
    plugin = make(TEXT.replace("}", f"{option}\n}}"))
    plugin._publish_zone(ORIGIN, ZONE)
    assert plugin.handle(query("nope.example.org.")).plugin == by
    assert plugin.handle(query("www.example.org.", "TXT")).plugin == "secondary"


def notify(address, name="example.org."):
    question = query(name, "SOA")
    question.opcode = NOTIFY
    question.client = client(address=address)
    return question


def test_notify_of_a_primary_is_taken():
    plugin = make(TEXT)
    reply = plugin.handle(notify("192.0.2.1"))
    assert (reply.rcode, reply.flags, reply.dropped) == (NOERROR, FLAG_AA, False)
    assert plugin._secondaries[ORIGIN]._notified.is_set()


@pytest.mark.parametrize(("address", "name"), [("192.0.2.2", "example.org."), ("192.0.2.1", "a.example.org.")])
def test_notify_of_others_is_dropped(address, name):
    plugin = make(TEXT)
    assert plugin.handle(notify(address, name)).dropped
    assert not plugin._secondaries[ORIGIN]._notified.is_set()
