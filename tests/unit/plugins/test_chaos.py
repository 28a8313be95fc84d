# SPDX-License-Identifier: Apache-2.0
import socket

import pytest
from support.directives import check, make, query

from clusterdns import __version__
from clusterdns.dns.masterfile import record_text


def texts(text, name, rtype="TXT", rdclass="CH"):
    question = query(name, rtype, rdclass=rdclass)
    reply = make(text).handle(question)
    if reply.plugin == "behind":
        return None
    assert (reply.plugin, reply.rcode, reply.flags, reply.reusable) == ("chaos", 0, 0, False)
    return [record_text(record).replace("\t", " ") for record in reply.records(question).answer]


@pytest.mark.parametrize("name", ["version.bind.", "Version.Server."])
def test_version(name):
    assert texts("chaos", name) == [f'{name} 0 CH TXT "clusterdns-{__version__}"']
    assert texts("chaos v1", name) == [f'{name} 0 CH TXT "v1"']


@pytest.mark.parametrize("name", ["hostname.bind.", "id.server."])
def test_host(name):
    assert texts("chaos v1 me", name) == [f'{name} 0 CH TXT "{socket.gethostname()}"']


def test_authors_in_changing_order():
    seen = {tuple(texts('chaos v1 "first author" second', "authors.bind.")) for _ in range(40)}
    first, second = 'authors.bind. 0 CH TXT "first author"', 'authors.bind. 0 CH TXT "second"'
    assert seen == {(first, second), (second, first)}
    assert texts("chaos v1", "authors.bind.") == ['authors.bind. 0 CH TXT "The clusterdns authors"']


def test_long_texts_are_several_strings():
    (record,) = texts(f"chaos {'x' * 300}", "version.bind.")
    assert record == f'version.bind. 0 CH TXT "{"x" * 255}" "{"x" * 45}"'


@pytest.mark.parametrize(
    ("name", "rtype", "rdclass"),
    [("other.bind.", "TXT", "CH"), ("version.bind.", "A", "CH"), ("version.bind.", "TXT", "IN")],
)
def test_others_are_passed_on(name, rtype, rdclass):
    assert texts("chaos", name, rtype, rdclass) is None


def test_the_first_of_several_counts_and_the_others_are_warned_of():
    verdict = check("chaos v1\nchaos v2")
    assert verdict.plan.blocks[0].directive("chaos").options.version == "v1"
    assert [warning.line for warning in verdict.warnings if warning.plugin == "chaos"] == [3]


def test_it_has_no_options():
    assert [(error.message, error.line) for error in check("chaos v1 {\nx\n}").errors] == [("unknown property 'x'", 3)]


def test_it_answers_other_classes():
    assert make("chaos").any_class
