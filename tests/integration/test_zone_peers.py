# SPDX-License-Identifier: Apache-2.0
"""The same zone file at NSD and Knot DNS: the same answers. Skipped for one that isn't installed."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
from support.ports import free_port

ZONE = Path(__file__).parents[1] / "data" / "zones" / "example.org"
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
NSD = """\
server:
    ip-address: 127.0.0.1@{port}
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
remote-control:
    control-enable: no
zone:
    name: example.org
    zonefile: "{zone}"
"""
KNOT = """\
server:
    listen: 127.0.0.1@{port}
    rundir: "{folder}"
database:
    storage: "{folder}"
zone:
  - domain: example.org
    storage: "{folder}"
    file: "{zone}"
    zonefile-sync: -1
    journal-content: none
"""
PEERS = {"nsd": (NSD, ("nsd", "-d", "-c")), "knot": (KNOT, ("knotd", "-c"))}

NAMES_TEXT = (
    "@ www web mail ext long1 dangling nothere a.web wild foo.wild a.b.wild host.wild a.host.wild *.wild sub.*.wild "
    "x.*.wild x.cn x.cnout cn ent deep.ent no.ent x.deep.ent ent2 star.ent2 q.star.ent2 sub x.sub ns.sub hidden.sub ds "
    "x.ds into dn x.dn y.x.dn no.dn a.dnout target _sip._udp _udp txt caa unk esc\\.aped sp\\032ace rel.other other "
    "paren WWW.ExAmPlE.oRg."
)
NAMES = NAMES_TEXT.split()
TYPES = ("A", "AAAA", "TXT", "NS", "SOA", "MX", "SRV", "CNAME", "DS", "DNAME", "CAA", "TYPE65534")


@pytest.fixture(scope="module")
def own_port(start_server, tmp_path_factory):
    corefile = tmp_path_factory.mktemp("own") / "Corefile"
    corefile.write_text(f"example.org:PORT {{\n    bind 127.0.0.1\n    file {ZONE}\n}}\n")
    return start_server("-conf", str(corefile), first_name="example.org.").port


@pytest.fixture(scope="module", params=PEERS)
def peer_port(request, tmp_path_factory):
    config, command = PEERS[request.param]
    program = shutil.which(command[0], path=PATH)
    if program is None:
        pytest.skip(f"{command[0]} is not installed (Debian package {request.param})")
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copy(ZONE, folder / "zone")
    port = free_port()
    (folder / "conf").write_text(config.format(port=port, folder=folder, zone=folder / "zone"))
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:], str(folder / "conf")], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_for_an_answer(process, port, folder / "output")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def wait_for_an_answer(process, port, output):
    end = time.monotonic() + 15
    while time.monotonic() < end and process.poll() is None:
        try:
            if ask(port, "example.org.", "SOA").answer:
                return
        except (dns.exception.Timeout, OSError):
            pass
        time.sleep(0.1)
    pytest.fail(f"the other server does not answer: {output.read_text()[-2000:]}")


def ask(port, name, rtype):
    query = dns.message.make_query(name, rtype, use_edns=0, payload=4096)
    return dns.query.udp(query, "127.0.0.1", port=port, timeout=2, one_rr_per_rrset=True)


def lines(section, *, ttl=True):
    return sorted(
        f"{rrset.name.to_text().lower()} {rrset.ttl if ttl else ''} {dns.rdatatype.to_text(rrset.rdtype)} {rrset[0]}"
        for rrset in section
    )


def normal_form(message):
    """What has to agree.

    The NS records of the zone beside an answer are a matter of taste, as are all addresses but those that a referral
    must have (RFC 9471), and the TTL of a SOA record that says that there is nothing.
    """
    is_referral = not message.flags & dns.flags.AA
    cut = next((f".{rrset.name}".lower() for rrset in message.authority if rrset.rdtype == dns.rdatatype.NS), "")
    has_no_data = any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority)
    return {
        "rcode": dns.rcode.to_text(message.rcode()),
        "authoritative": not is_referral,
        "answer": lines(message.answer),
        "authority": lines(message.authority, ttl=False) if is_referral or has_no_data else [],
        "glue": [line for line in lines(message.additional) if is_referral and line.split(" ")[0].endswith(cut)],
    }


@pytest.mark.parametrize("name", NAMES)
def test_same_answers(own_port, peer_port, name):
    absolute = name if name.endswith(".") else f"{name}.example.org.".removeprefix("@.")
    for rtype in TYPES:
        ours, theirs = (normal_form(ask(port, absolute, rtype)) for port in (own_port, peer_port))
        assert ours == theirs, rtype
