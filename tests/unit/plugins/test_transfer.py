# SPDX-License-Identifier: Apache-2.0
import asyncio

import dns.message
import dns.rdatatype
import pytest
from support.directives import FakeSetup, check, finished, make, parse
from support.serving import client

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_file
from clusterdns.dns.types import FLAG_AA, FORMERR, NOERROR, REFUSED, SERVFAIL, SOA
from clusterdns.errors import UpstreamError
from clusterdns.plugins import transfer
from clusterdns.serving.query import Query
from clusterdns.upstream.address import Endpoint
from clusterdns.zone.tree import build_zone

OTHER = names.from_text("other.test.")
ORIGIN = names.from_text("example.org.")
ZONE = build_zone(
    ORIGIN, parse_file("$TTL 5\n@ SOA ns admin 10 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nsub A 192.0.2.2\n", ORIGIN)
)
WRONG_COUNT = "Wrong argument count or unexpected line ending after"


class Source:
    """A directive that has a zone, and one that isn't read yet."""

    def __init__(self, name="file"):
        self.name = name

    def transferable(self):
        return (ORIGIN, names.from_text("empty.example.org."))

    def zone_records(self, zone):
        return ZONE.records() if zone == ORIGIN else None


def plugin(text, sources=True):
    setup = FakeSetup()
    if sources:
        setup.siblings["file"] = Source()
    return make(text, setup=setup)


def query(rtype="AXFR", name="example.org.", *, protocol="tcp", address="192.0.2.1", serial=None):
    message = dns.message.make_query(name, rtype)
    if serial is not None:
        soa = f"{name} 0 IN SOA . . {serial} 0 0 0 0"
        message.authority = [dns.rrset.from_text(name, 0, "IN", "SOA", soa.split(" SOA ")[1])]
    return Query(message.to_wire(), client(protocol, address))


def ask(text, *arguments, **options):
    return plugin(text).handle(query(*arguments, **options))


# The Corefile


def test_all_options():
    (use,) = parse("transfer a.test {\nto 192.0.2.1 [2001:db8::1]:5353\nto *\nsource 192.0.2.9\n}")
    assert use.zones == (names.from_text("a.test."),)
    assert use.secondaries == (Endpoint("192.0.2.1"), Endpoint("2001:db8::1", 5353))
    assert (use.everybody, use.source) == (True, "192.0.2.9")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("transfer", "Corefile:2 - Error during parsing: 'to' is required"),
        ("transfer {\nto\n}", f"Corefile:3 - Error during parsing: {WRONG_COUNT} 'to'"),
        ("transfer {\nto x\n}", "must specify an IP address: `x'"),
        ("transfer {\nto tls://192.0.2.1\n}", "must specify an IP address: `tls://192.0.2.1'"),
        ("transfer {\nnope\n}", 'Corefile:3 - Error during parsing: unknown property "nope"'),
        ("transfer {\nto *\nsource x\n}", 'Corefile:4 - Error during parsing: invalid source address "x"'),
        ("transfer {\nto *\nsource ::1\nsource ::1\n}", "Corefile:5 - Error during parsing: source already specified"),
    ],
)  # fmt: skip
def test_faults(text, error):
    assert [each.coredns_text() for each in check(text).errors] == [f"plugin/transfer: {error}"]


# Who may


def test_other_queries_go_on():
    assert ask("transfer {\nto *\n}", "SOA").plugin == "behind"
    assert ask("transfer {\nto *\n}", "A", protocol="udp").plugin == "behind"


@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
def test_udp_is_refused(rtype):
    assert ask("transfer {\nto *\n}", rtype, protocol="udp").rcode == REFUSED


@pytest.mark.parametrize(
    ("to", "address", "rcode"),
    [
        ("192.0.2.1", "192.0.2.1", NOERROR),
        ("192.0.2.1:99", "192.0.2.1", NOERROR),
        ("192.0.2.1", "192.0.2.2", REFUSED),
        ("2001:DB8:0::1", "2001:db8::1", NOERROR),
        ("*", "203.0.113.1", NOERROR),
    ],
)
def test_only_those_named_may_have_a_zone(to, address, rcode):
    reply = ask(f"transfer {{\nto {to}\n}}", address=address)
    assert reply.rcode == rcode
    assert (reply.stream is not None) == (rcode == NOERROR)


def test_the_use_with_the_longest_zone_decides():
    text = "transfer . {\nto *\n}\ntransfer example.org {\nto 192.0.2.9\n}"
    assert ask(text).rcode == REFUSED
    assert ask(text, address="192.0.2.9").rcode == NOERROR


def test_zones_that_nobody_has_go_on():
    assert ask("transfer . {\nto *\n}", name="www.example.org.").plugin == "behind"
    assert ask("transfer . {\nto *\n}", name="other.test.").plugin == "behind"
    assert ask("transfer a.test {\nto *\n}").plugin == "behind"


def test_a_zone_that_is_not_there_yet_is_servfail():
    reply = ask("transfer {\nto *\n}", name="empty.example.org.")
    assert (reply.rcode, reply.error) == (SERVFAIL, "zone empty.example.org. is not loaded")


# What they get


def types_of(reply, question):
    return [record.rtype for record in (*reply.records(question).answer, *(reply.stream or ()))]


def test_axfr_begins_and_ends_with_the_soa_record():
    question = query()
    reply = plugin("transfer {\nto *\n}").handle(question)
    found = types_of(reply, question)
    assert (found[0], found[-1], found.count(SOA), len(found)) == (SOA, SOA, 2, 5)
    assert (reply.flags, reply.plugin, reply.reusable) == (FLAG_AA, "transfer", False)


@pytest.mark.parametrize(("serial", "records"), [(10, 1), (11, 1), (9, 5), (0x90000000, 5)])
def test_ixfr_is_whole_or_the_soa_record_alone(serial, records):
    question = query("IXFR", serial=serial)
    assert len(types_of(plugin("transfer {\nto *\n}").handle(question), question)) == records


def test_ixfr_without_a_serial_number_is_formerr():
    assert ask("transfer {\nto *\n}", "IXFR").rcode == FORMERR


# NOTIFY


def notified(monkeypatch, text, *, changes=(), fails=False):
    """Whom the plugin tells of what after its start and after changes."""
    told = []

    async def send(zone, secondary, source):
        told.append((names.to_text(zone), str(secondary), source))
        if fails:
            raise UpstreamError("rcode was REFUSED")

    async def run():
        work = made.services.spawned[0][0]
        task = asyncio.ensure_future(work)
        for zone in ((), *changes):
            if zone:
                made.zone_changed(zone)
            for _ in range(10):
                await asyncio.sleep(0)
        task.cancel()

    monkeypatch.setattr(transfer, "send_notify", send)
    made = plugin(text)
    finished(made.start())
    if made.services.spawned:
        finished(run())
    return told


def test_those_named_are_told_of_zones_at_the_start(monkeypatch):
    told = notified(monkeypatch, "transfer {\nto 192.0.2.1 192.0.2.2:54 *\nsource 192.0.2.9\n}")
    assert told == [("example.org.", "192.0.2.1:53", "192.0.2.9"), ("example.org.", "192.0.2.2:54", "192.0.2.9")]


def test_they_are_told_of_changes(monkeypatch):
    monkeypatch.setattr(transfer, "NOTIFY_GAP_SECONDS", 0.0)
    told = notified(monkeypatch, "transfer {\nto 192.0.2.1\n}", changes=[ORIGIN, ORIGIN])
    assert len(told) == 3


def test_of_one_zone_they_are_told_seldom_but_of_its_last_version(monkeypatch):
    seconds = [0.0]
    told = []

    async def send(zone, secondary, source):
        told.append((seconds[0], names.to_text(zone)))

    async def settle():
        for _ in range(10):
            await asyncio.sleep(0)

    async def run():
        monkeypatch.setattr(transfer, "send_notify", send)
        await made.start()
        task = asyncio.ensure_future(made.services.spawned[0][0])
        await settle()
        for moment in (0.1, 1.0, 4.9, 5.0, 5.1, 9.0, 11.0, 30.0):
            seconds[0] = moment
            made.zone_changed(ORIGIN)
            if moment == 1.0:
                made.zone_changed(OTHER)
            await settle()
        task.cancel()

    setup = FakeSetup()
    setup.siblings["file"] = Source()
    made = transfer.Transfer(parse("transfer . {\nto 192.0.2.1\n}"), setup, clock=lambda: seconds[0])
    finished(run())
    assert [moment for moment, zone in told if zone == "example.org."] == [0.0, 5.0, 11.0, 30.0]
    assert [moment for moment, zone in told if zone == "other.test."] == [1.0]


def test_they_are_told_of_zones_that_are_read_later(monkeypatch):
    monkeypatch.setattr(transfer, "_LOOK_SECONDS", 0.001)
    told = asyncio.Queue()

    async def send(zone, secondary, source):
        told.put_nowait(names.to_text(zone))

    async def run():
        monkeypatch.setattr(transfer, "send_notify", send)
        await made.start()
        task = asyncio.ensure_future(made.services.spawned[0][0])
        assert await told.get() == "example.org."
        assert told.empty()
        source.zone_records = lambda zone: ZONE.records()
        async with asyncio.timeout(5):
            assert await told.get() == "empty.example.org."
        task.cancel()

    made = plugin("transfer . {\nto 192.0.2.1\n}")
    source = made.setup.siblings["file"]
    finished(run())
    assert told.empty()


def test_nobody_is_told_with_a_star_or_of_other_zones(monkeypatch):
    assert notified(monkeypatch, "transfer {\nto *\n}") == []
    assert notified(monkeypatch, "transfer a.test {\nto 192.0.2.1\n}", changes=[ORIGIN]) == []


def test_who_does_not_accept_it_is_logged(monkeypatch, caplog):
    notified(monkeypatch, "transfer {\nto 192.0.2.1\n}", fails=True)
    assert 'notify for zone "example.org." was not accepted by "192.0.2.1:53": rcode was REFUSED' in caplog.text
