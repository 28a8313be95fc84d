# SPDX-License-Identifier: Apache-2.0
import os

import pytest
from support.directives import FakeSetup, check, finished, metric, parse, query

from clusterdns.dns.masterfile import record_text
from clusterdns.dns.types import rcode_text
from clusterdns.plugins import hosts
from clusterdns.plugins.hosts.entries import MAX_NAMES_OF_ADDRESS, Entries, reverse_name
from clusterdns.serving.reply import Reply

HOSTS = """\
# comment
10.0.0.1  One.test one-alias.test # another
10.0.0.1  one.test
fd00::1   one.test
10.0.0.20 one.test
10.0.0.4  *.wild.test real.test
10.0.0.5  exact.wild.test
10.0.0.6  dot.test.
10.0.0.7  bad..name ok.test
10.0.0.08 octal.test
::ffff:10.0.0.9 mapped.test
fe80::1%lo scoped.test
0.0.0.0   blocked.test
nonsense  x.test
10.0.0.99
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    return path


@pytest.fixture
def started():
    """Starts what a Corefile says, and stops it at the end."""
    plugins = []

    def start(text, setup=None):
        plugin = hosts.Hosts(parse(text, zones="."), setup or FakeSetup())
        plugin.next = lambda query: Reply(plugin="behind")
        finished(plugin.start())
        plugins.append(plugin)
        return plugin

    yield start
    for plugin in plugins:
        finished(plugin.stop(True))


def ask(plugin, name, rtype="A", **options):
    """The reply as text; None where the query was passed on."""
    question = query(name, rtype, **options)
    reply = plugin.handle(question)
    if reply.plugin == "behind":
        return None
    sections = reply.records(question)
    assert sections.authority == sections.additional == ()
    records = [record_text(record).replace("\t", " ") for record in sections.answer]
    return " ".join([rcode_text(reply.rcode), *records])


@pytest.mark.parametrize(
    ("name", "rtype", "expected"),
    [
        ("one.test.", "A", "NOERROR one.test. 3600 IN A 10.0.0.1 one.test. 3600 IN A 10.0.0.20"),
        ("ONE.Test.", "AAAA", "NOERROR one.test. 3600 IN AAAA fd00::1"),
        ("one-alias.test.", "AAAA", "NOERROR"),
        ("one.test.", "MX", "NOERROR"),
        ("x.wild.test.", "A", "NOERROR x.wild.test. 3600 IN A 10.0.0.4"),
        ("x.wild.test.", "TXT", "NOERROR"),
        ("exact.wild.test.", "A", "NOERROR exact.wild.test. 3600 IN A 10.0.0.5"),
        ("exact.wild.test.", "AAAA", "NOERROR"),
        ("x.y.wild.test.", "A", "SERVFAIL"),
        ("wild.test.", "A", "SERVFAIL"),
        ("dot.test.", "A", "NOERROR dot.test. 3600 IN A 10.0.0.6"),
        ("ok.test.", "A", "NOERROR ok.test. 3600 IN A 10.0.0.7"),
        ("octal.test.", "A", "SERVFAIL"),
        ("mapped.test.", "A", "NOERROR mapped.test. 3600 IN A 10.0.0.9"),
        ("scoped.test.", "AAAA", "NOERROR scoped.test. 3600 IN AAAA fe80::1"),
        ("blocked.test.", "A", "NOERROR blocked.test. 3600 IN A 0.0.0.0"),
        ("x.test.", "A", "SERVFAIL"),
        (".", "A", "SERVFAIL"),
        (
            "1.0.0.10.in-addr.arpa.",
            "PTR",
            "NOERROR 1.0.0.10.in-addr.arpa. 3600 IN PTR one.test. 1.0.0.10.in-addr.arpa. 3600 IN PTR one-alias.test.",
        ),
        ("4.0.0.10.in-addr.arpa.", "PTR", "NOERROR 4.0.0.10.in-addr.arpa. 3600 IN PTR real.test."),
        ("0.0.0.0.in-addr.arpa.", "PTR", None),
        ("8.8.8.8.in-addr.arpa.", "PTR", None),
        ("one.test.", "PTR", None),
    ],
)
def test_answers(started, file, name, rtype, expected):
    assert ask(started(f"hosts {file}"), name, rtype) == expected


def test_answers_are_authoritative_and_can_be_reused(started, file):
    plugin = started(f"hosts {file}")
    reply = plugin.handle(query("one.test.", "A"))
    assert (reply.flags, reply.reusable, plugin.pure) == (0x400, True, True)
    assert plugin.handle(query("nope.test.", "A")).flags == 0


def test_reverse_names_of_both_versions():
    assert reverse_name(bytes((10, 0, 0, 255))) == b"\x03255\x010\x010\x0210\x07in-addr\x04arpa\0"
    assert reverse_name(bytes.fromhex("fd000000000000000000000000000001"))[:4] == b"\x011\x010"
    entries = Entries(["fd00::1 one.test"])
    (pointer,) = entries.pointers
    assert pointer == b"\x011" + b"\x010" * 29 + b"\x01d\x01f\x03ip6\x04arpa\0"


def test_other_classes_are_passed_on(started, file):
    assert ask(started(f"hosts {file}"), "one.test.", rdclass="CH") is None


def test_inline_lines_come_after_those_of_the_file(started, file):
    text = f"hosts {file} {{\n10.1.0.1 one.test in.test # x\nttl 77\nno_reverse\n}}"
    plugin = started(text)
    assert ask(plugin, "one.test.").endswith("one.test. 77 IN A 10.0.0.20 one.test. 77 IN A 10.1.0.1")
    assert ask(plugin, "in.test.") == "NOERROR in.test. 77 IN A 10.1.0.1"
    assert ask(plugin, "1.0.0.10.in-addr.arpa.", "PTR") is None


def test_zones_bound_names_and_the_names_that_addresses_have(started, file):
    plugin = started(f"hosts {file} wild.test other.test")
    assert ask(plugin, "one.test.") is None
    assert ask(plugin, "x.wild.test.") is not None
    assert ask(plugin, "nope.other.test.") == "SERVFAIL"
    assert ask(plugin, "5.0.0.10.in-addr.arpa.", "PTR").endswith("PTR exact.wild.test.")
    assert ask(plugin, "1.0.0.10.in-addr.arpa.", "PTR") is None


def test_fallthrough(started, file):
    plugin = started(f"hosts {file} {{\nfallthrough wild.test\n}}")
    assert ask(plugin, "x.y.wild.test.") is None
    assert ask(plugin, "nope.test.") == "SERVFAIL"
    plugin = started(f"hosts {file} {{\nfallthrough\n}}")
    assert ask(plugin, "nope.test.") is None
    assert ask(plugin, "one.test.", "MX") == "NOERROR"


def test_fallthrough_unsupported(started, file):
    plugin = started(f"hosts {file} {{\nfallthrough one.test\nfallthrough_unsupported\n}}")
    assert ask(plugin, "one.test.", "MX") is None
    assert ask(plugin, "ok.test.", "MX") == "NOERROR"
    assert ask(plugin, "one-alias.test.", "AAAA") == "NOERROR"


def test_an_address_of_very_many_names_points_to_some():
    entries = Entries(f"127.0.0.1 n{number}.test" for number in range(1000))
    assert [len(names) for names in entries.pointers.values()] == [MAX_NAMES_OF_ADDRESS]
    assert len(entries.addresses) == 1000


def touch(path, text):
    path.write_text(text)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_a_changed_file_is_taken_over(started, file):
    setup = FakeSetup()
    plugin = started(f"hosts {file}", setup)
    assert setup.published == 1
    finished(plugin.read_file())
    assert setup.published == 1
    touch(file, HOSTS.replace("10.0.0.6", "10.0.0.8"))
    finished(plugin.read_file())
    assert (setup.published, ask(plugin, "dot.test.")) == (2, "NOERROR dot.test. 3600 IN A 10.0.0.8")


def test_the_last_entries_stay_while_the_file_is_gone_and_that_is_told_once(started, file, caplog):
    plugin = started(f"hosts {file}")
    file.unlink()
    finished(plugin.read_file())
    finished(plugin.read_file())
    assert ask(plugin, "dot.test.") == "NOERROR dot.test. 3600 IN A 10.0.0.6"
    assert [record.message for record in caplog.records] == [f"File does not exist: {file}"]


def test_a_file_that_is_too_large_is_not_read(started, file, monkeypatch, caplog):
    monkeypatch.setattr(hosts, "MAX_FILE_BYTES", 100)
    plugin = started(f"hosts {file} {{\n10.1.0.1 in.test\n}}")
    assert ask(plugin, "dot.test.") == "SERVFAIL"
    assert ask(plugin, "in.test.") is not None
    assert [record.message for record in caplog.records] == [f"{file} can't be read: it is larger than 100 octets"]


def test_a_directory_is_no_file(started, tmp_path, caplog):
    started(f"hosts {tmp_path}")
    assert [record.message for record in caplog.records] == [f'Hosts file "{tmp_path}" is a directory']


def test_the_file_is_looked_at_unless_reload_is_0(started, file):
    setup = FakeSetup()
    plugin = started(f"hosts {file}", setup)
    ((_, lease),) = setup.services.spawned
    finished(plugin.stop(True))
    assert lease.released
    setup = FakeSetup()
    started(f"hosts {file} {{\nreload 0\n}}", setup)
    assert setup.services.spawned == []


def test_metrics(started, file):
    setup = FakeSetup()
    file.write_text("10.0.0.1 one.test two.test\n")
    started(f"hosts {file} {{\n10.0.0.2 three.test\n}}", setup)
    assert metric(setup.services, "coredns_hosts_entries", str(file)) == 6
    assert metric(setup.services, "coredns_hosts_reload_timestamp_seconds") == file.stat().st_mtime


def test_options():
    options = parse("hosts")
    assert (options.path, options.ttl_seconds, options.reload_seconds) == ("/etc/hosts", 3600, 5)
    assert (options.reverse, options.fallthrough, options.zones) == (True, (), (b"\x07example\x03org\0",))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("ttl", "ttl needs a time in second"),
        ("ttl x", "ttl needs a number of second"),
        ("ttl 0", "ttl provided is invalid"),
        ("ttl -1", "ttl provided is invalid"),
        ("ttl 65536", "ttl provided is invalid"),
        ("reload", "reload needs a duration (zero seconds to disable)"),
        ("reload 1s 2s", "reload needs a duration (zero seconds to disable)"),
        ("reload x", "invalid duration for reload 'x'"),
        ("reload -1s", "invalid negative duration for reload '-1s'"),
        ("fallthrough_unsupported x", "Wrong argument count or unexpected line ending after 'x'"),
    ],
)
def test_faults(option, message):
    (error,) = check(f"hosts {{\n{option}\n}}").errors
    assert (error.message, error.line) == (message, 3)


def test_no_inline_lines_behind_fallthrough():
    (error,) = check("hosts {\nfallthrough\n10.0.0.1 a.test\n}").errors
    assert (error.message, error.line) == ("unknown property '10.0.0.1'", 4)


def test_fallthrough_unsupported_needs_fallthrough():
    (error,) = check("hosts {\nfallthrough_unsupported\n}").errors
    assert (error.message, error.line) == ("fallthrough_unsupported requires fallthrough", 4)


def test_once():
    (error,) = check("hosts\nhosts").errors
    assert error.message == "this plugin can only be used once per Server Block"


def warnings(text):
    verdict = check(text)
    assert verdict.errors == ()
    return [(warning.message, warning.line) for warning in verdict.warnings if warning.plugin == "hosts"]


def test_what_surely_is_not_meant_is_warned_of():
    assert warnings("hosts {\nfoo bar\nttl 5 6\nno_reverse x\n}") == [
        ("'foo bar' does nothing: it is neither an option nor ADDRESS NAME...", 3),
        ("'6' does nothing: ttl has no such argument", 4),
        ("'x' does nothing: no_reverse has no such argument", 5),
    ]
    ((message, line),) = warnings("hosts\nwhoami")
    assert (message.split(":")[0], line) == ("names that aren't in the file get SERVFAIL", 2)
    assert warnings("hosts {\nfallthrough\n}\nwhoami") == []
    assert warnings("hosts /etc/hosts example.org\nwhoami") == []
