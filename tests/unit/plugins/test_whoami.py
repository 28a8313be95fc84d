# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import check, make
from support.serving import wire

from clusterdns.dns.masterfile import record_text
from clusterdns.dns.types import FLAG_AA
from clusterdns.serving.query import Client, Query


def ask(name="Www.Example.org.", protocol="udp", address="192.0.2.1", port=40212):
    question = Query(wire(name), Client(protocol, address, port, "192.0.2.53", 53))
    reply = make("whoami").handle(question)
    records = reply.records(question)
    assert (reply.rcode, reply.flags, reply.plugin, reply.reusable) == (0, FLAG_AA, "whoami", False)
    assert (records.answer, records.authority) == ((), ())
    return [record_text(record).replace("\t", " ") for record in records.additional]


@pytest.mark.parametrize(
    ("protocol", "address", "records"),
    [
        ("udp", "192.0.2.1", ["Www.Example.org. 0 IN A 192.0.2.1", "_udp.Www.Example.org. 0 IN SRV 0 0 40212 ."]),
        (
            "tcp",
            "2001:db8::1",
            ["Www.Example.org. 0 IN AAAA 2001:db8::1", "_tcp.Www.Example.org. 0 IN SRV 0 0 40212 ."],
        ),
        (
            "udp",
            "::ffff:192.0.2.1",
            ["Www.Example.org. 0 IN A 192.0.2.1", "_udp.Www.Example.org. 0 IN SRV 0 0 40212 ."],
        ),
        ("udp", "fe80::1%eth0", ["Www.Example.org. 0 IN AAAA fe80::1", "_udp.Www.Example.org. 0 IN SRV 0 0 40212 ."]),
    ],
)
def test_the_client_is_told_its_address_port_and_protocol(protocol, address, records):
    assert ask(protocol=protocol, address=address) == records


def test_the_root_has_a_name_too():
    assert ask(".") == [". 0 IN A 192.0.2.1", "_udp. 0 IN SRV 0 0 40212 ."]


def test_a_name_with_no_room_for_another_label_gets_the_address_alone():
    name = ".".join(["a" * 63] * 3 + ["b" * 61, ""])
    assert ask(name) == [f"{name} 0 IN A 192.0.2.1"]


def test_it_has_no_arguments():
    (error,) = check("whoami x").errors
    assert error.message == "Wrong argument count or unexpected line ending after 'x'"


def test_the_class_of_the_query_is_kept():
    question = Query(wire("www.example.org.", rdclass="CH"), Client("udp", "192.0.2.1", 4242, "192.0.2.53", 53))
    records = make("whoami").handle(question).records(question)
    assert [record.rclass for record in records.additional] == [3, 3]
