# SPDX-License-Identifier: Apache-2.0
"""A primary and a secondary server, both real: whole zones in several messages, NOTIFY, and the next version."""

import time

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.xfr
import dns.zone
import pytest
from support.ports import free_port

ORIGIN = "example.org."
HOSTS = 3000
PRIMARY = """\
example.org:PORT {{
    bind 127.0.0.1
    file {db} {{
        reload 100ms
    }}
    transfer {{
        to 127.0.0.1:{secondary}
    }}
}}
"""
SECONDARY = """\
example.org:PORT {{
    bind 127.0.0.1
    secondary {{
        transfer from 127.0.0.1:{primary}
    }}
    transfer {{
        to *
    }}
}}
"""


def write(path, serial):
    hosts = "".join(f"h{number} A 10.0.{number >> 8}.{number & 255}\n" for number in range(HOSTS))
    path.with_suffix(".new").write_text(
        f"$TTL 60\n@ SOA ns admin {serial} 7200 3600 1209600 300\n@ NS ns\nns A 192.0.2.53\n"
        f'version TXT "{serial}"\n*.wild CNAME ns\nsub NS ns.sub\nns.sub A 192.0.2.54\n{hosts}'
    )
    path.with_suffix(".new").replace(path)


def transferred(port):
    """The zone as dnspython gets it by AXFR."""
    zone = dns.zone.Zone(ORIGIN)
    dns.query.inbound_xfr("127.0.0.1", zone, port=port, timeout=5, lifetime=20)
    return zone


def serial_of(server):
    reply = server.ask(ORIGIN, "SOA")
    return reply.answer[0][0].serial if reply.answer else None


def wait_until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def servers(start_server, tmp_path_factory):
    """Primary, secondary and the zone file. Each knows the other's port: the primary is started again for that."""
    folder = tmp_path_factory.mktemp("zones")
    db = folder / "db"
    write(db, 1)
    ports = [free_port(), free_port()]
    for name, text, port in (("primary", PRIMARY, ports[0]), ("secondary", SECONDARY, ports[1])):
        text = text.format(db=db, primary=ports[0], secondary=ports[1]).replace("PORT", str(port))
        (folder / name).write_text(text)
    found = []
    for name, port in zip(("primary", "secondary"), ports, strict=True):
        found.append(start_server("-conf", str(folder / name), first_name=ORIGIN, port=port))
    return (*found, db)


def test_a_zone_is_the_same_at_all_that_transfer_it(servers):
    primary, _, db = servers
    zone = transferred(primary.port)
    assert zone == dns.zone.from_file(str(db), ORIGIN, relativize=True)
    assert len(zone.nodes) == HOSTS + 6


def test_ixfr_of_the_newest_version_is_one_record(servers):
    primary, *_ = servers
    zone = transferred(primary.port)
    query, serial = dns.xfr.make_query(zone)
    assert serial == 1
    reply = dns.query.tcp(query, "127.0.0.1", port=primary.port, timeout=5)
    assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.SOA]


def test_over_udp_it_is_refused(servers):
    primary, *_ = servers
    query = dns.message.make_query(ORIGIN, "AXFR")
    assert dns.query.udp(query, "127.0.0.1", port=primary.port, timeout=5).rcode() == dns.rcode.REFUSED


def test_a_secondary_server_has_the_zone_and_gives_it_on(servers):
    primary, secondary, _ = servers
    wait_until(lambda: serial_of(secondary) == serial_of(primary))
    assert transferred(secondary.port) == transferred(primary.port)
    assert secondary.ask("a.wild.example.org.", "A").answer == primary.ask("a.wild.example.org.", "A").answer


def test_a_new_version_arrives_by_notify(servers):
    primary, secondary, db = servers
    wait_until(lambda: serial_of(secondary) == serial_of(primary))
    serial = serial_of(primary) + 1
    write(db, serial)
    wait_until(lambda: serial_of(secondary) == serial)
    assert secondary.ask("version.example.org.", "TXT").answer[0][0].strings == (str(serial).encode(),)
    assert "checking transfer" in secondary.output()


def test_one_who_is_not_named_is_refused(servers):
    primary, *_ = servers
    query = dns.message.make_query(ORIGIN, "AXFR")
    reply = dns.query.tcp(query, "127.0.0.1", port=primary.port, timeout=5, source="127.0.0.2")
    assert reply.rcode() == dns.rcode.REFUSED
