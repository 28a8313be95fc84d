# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import FakeSetup, check, make, metric, query

from clusterdns.dns.masterfile import record_text
from clusterdns.dns.types import rcode_text

SOA = "604800 IN SOA localhost. root.localhost. 1 0 0 0 604800"


def ask(name, rtype="A", text="local", setup=None, **options):
    """The reply as text: rcode, answer, authority after ``?``; None where the query was passed on."""
    question = query(name, rtype, **options)
    reply = make(text, setup=setup).handle(question)
    if reply.plugin == "behind":
        return None
    assert (reply.plugin, reply.flags) == ("local", 0)
    sections = reply.records(question)
    answer = [record_text(record).replace("\t", " ") for record in sections.answer]
    authority = ["? " + record_text(record).replace("\t", " ") for record in sections.authority]
    return " ".join([rcode_text(reply.rcode), *answer, *authority])


@pytest.mark.parametrize(
    ("name", "rtype", "expected"),
    [
        ("LocalHost.", "A", "NOERROR LocalHost. 604800 IN A 127.0.0.1"),
        ("localhost.", "AAAA", "NOERROR localhost. 604800 IN AAAA ::1"),
        ("localhost.", "NS", "NOERROR localhost. 604800 IN NS localhost."),
        ("localhost.", "SOA", f"NOERROR localhost. {SOA}"),
        ("localhost.", "TXT", f"NOERROR ? localhost. {SOA}"),
        ("localhost.", "ANY", "NOERROR localhost. 604800 IN A 127.0.0.1"),
        ("a.b.localhost.", "A", "NOERROR a.b.localhost. 604800 IN A 127.0.0.1"),
        ("a.localhost.", "NS", f"NOERROR ? localhost. {SOA}"),
        ("localhost.example.org.", "A", "NOERROR localhost.example.org. 604800 IN A 127.0.0.1"),
        ("localhost.example.org.", "AAAA", "NOERROR localhost.example.org. 604800 IN AAAA ::1"),
        ("localhost.example.org.", "MX", f"NOERROR ? localhost.example.org. {SOA}"),
        ("1.0.0.127.in-addr.arpa.", "PTR", "NOERROR 1.0.0.127.in-addr.arpa. 604800 IN PTR localhost."),
        ("1.0.0.127.in-addr.arpa.", "A", f"NOERROR ? 127.in-addr.arpa. {SOA}"),
        ("0.127.in-addr.arpa.", "PTR", f"NOERROR ? 127.in-addr.arpa. {SOA}"),
        ("2.0.0.127.in-addr.arpa.", "PTR", f"NXDOMAIN ? 127.in-addr.arpa. {SOA}"),
        ("127.in-addr.arpa.", "NS", "NOERROR 127.in-addr.arpa. 604800 IN NS localhost."),
        ("0.in-addr.arpa.", "SOA", f"NOERROR 0.in-addr.arpa. {SOA}"),
        ("255.255.255.255.in-addr.arpa.", "PTR", f"NXDOMAIN ? 255.in-addr.arpa. {SOA}"),
    ],
)
def test_answers(name, rtype, expected):
    assert ask(name, rtype) == expected


@pytest.mark.parametrize("name", ["example.org.", "xlocalhost.", "localhostx.", "1.0.0.10.in-addr.arpa.", "."])
def test_other_names_are_passed_on(name):
    assert ask(name) is None


def test_other_classes_are_passed_on():
    assert ask("localhost.", rdclass="CH") is None


def test_the_prefix_can_be_switched_off():
    text = "local {\nlocalhost_prefix off\n}"
    assert ask("localhost.example.org.", text=text) is None
    assert ask("a.localhost.", text=text) is not None
    assert ask("localhost.example.org.", text="local {\nlocalhost_prefix off\nlocalhost_prefix on\n}") is not None


def test_names_below_and_before_localhost_are_counted():
    setup = FakeSetup()
    for name in ("localhost.", "a.localhost.", "localhost.example.org.", "localhost.localhost.", "example.org."):
        ask(name, setup=setup)
    assert metric(setup.services, "coredns_local_localhost_requests_total") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("local x", "Wrong argument count or unexpected line ending after 'x'"),
        ("local {\nx\n}", "unknown property 'x'"),
        ("local {\nlocalhost_prefix\n}", "Wrong argument count or unexpected line ending after 'localhost_prefix'"),
        ("local {\nlocalhost_prefix on off\n}", "Wrong argument count or unexpected line ending after 'off'"),
        ("local {\nlocalhost_prefix maybe\n}", "localhost_prefix expects 'on' or 'off', got \"maybe\""),
    ],
)
def test_faults(text, message):
    assert [error.message for error in check(text).errors] == [message]
