# SPDX-License-Identifier: Apache-2.0
import os

import pytest
from support.directives import CountedSiblings, FakeSetup, check, finished, make, parse, query

from clusterdns.dns import names
from clusterdns.dns.types import FLAG_AA, NOERROR, NOTIFY, NXDOMAIN, REFUSED, SERVFAIL
from clusterdns.dns.wire import Record
from clusterdns.errors import LifecycleError
from clusterdns.plugins.file import File
from clusterdns.serving.metadata import QueryMetadata
from clusterdns.serving.reply import Reply, Sections

ZONE = """\
$TTL 60
@ SOA ns admin {serial} 7200 3600 1209600 300
@ NS ns
ns A 192.0.2.53
www A 192.0.2.80
out CNAME target.other.test.
sub NS ns.sub
ns.sub A 192.0.2.54
"""
AT = "plugin/file: Corefile:"


def write(path, serial=1, more=""):
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(ZONE.format(serial=serial) + more)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "db")
    return tmp_path / "db"


def started(text, **options):
    plugin = make(text, **options)
    finished(plugin.start())
    for work, _ in plugin.services.spawned:
        work.close()
    return plugin


def errors(text, **options):
    return [error.coredns_text() for error in check(text, **options).errors]


def owners(records):
    return [names.to_text(record.name) for record in records]


# The Corefile


def test_zones_are_those_of_the_block_by_default():
    use = parse("file db", zones="example.org 10.0.0.0/8").uses[0]
    assert use.zones == (names.from_text("example.org."), names.from_text("10.in-addr.arpa."))
    assert (use.path, use.reload_seconds, use.by_time) == ("db", 60, False)


def test_all_options():
    options = parse("file db a.test b.test {\nreload 5s\nreload_by_mtime\nfallthrough x.a.test\n}")
    assert (options.uses[0].reload_seconds, options.uses[0].by_time) == (5, True)
    assert options.fallthrough == (names.from_text("x.a.test."),)
    assert parse("file db {\nfallthrough\nreload 0\n}").fallthrough == (names.ROOT,)


def test_uses_add_up_and_the_last_one_has_a_zone():
    verdict = check("file one a.test b.test\nfile two b.test", zones="test")
    uses = verdict.plan.blocks[0].directive("file").options.uses
    assert [(use.path, len(use.zones)) for use in uses] == [("one", 1), ("two", 1)]
    assert [warning.message for warning in verdict.warnings if warning.plugin == "file"] == [
        "b.test. is read from two, not from one"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("file", f"{AT}2 - Error during parsing: Wrong argument count or unexpected line ending after 'file'"),
        ("file db {\nnope\n}", f"{AT}3 - Error during parsing: unknown property 'nope'"),
        ("file db {\nreload\n}", "plugin/file: reload duration value is expected"),
        ("file db {\nreload x\n}", 'plugin/file: time: invalid duration "x"'),
        ("file db {\nreload -5s\n}", "plugin/file: invalid duration"),
    ],
)
def test_faults(text, error):
    assert errors(text) == [error]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("file db 192.0.2.1 a.test", "192.0.2.1 is not a zone and is ignored"),
        ("file db {\nupstream 192.0.2.1\n}", "upstream does nothing any more"),
    ],
)
def test_warnings(text, warning):
    assert warning in [each.message for each in check(text).warnings]


# Start


def test_a_missing_file_is_servfail_until_it_appears(tmp_path, caplog):
    path = tmp_path / "db"
    plugin = started(f"file {path}")
    assert f'Failed to open "open {path}: no such file or directory": trying again in 1m0s' in caplog.text
    reply = plugin.handle(query())
    assert (reply.rcode, reply.plugin, reply.reusable) == (SERVFAIL, "file", False)
    write(path)
    for file in plugin._uses[0][1]:
        finished(plugin.look_again(file))
    assert plugin.handle(query()).rcode == NOERROR


def test_a_missing_file_that_is_never_read_again_is_fatal(tmp_path):
    with pytest.raises(LifecycleError, match=r"^plugin/file: open /.*/db: no such file or directory$"):
        started(f"file {tmp_path}/db {{\nreload 0\n}}")


def test_a_fault_in_a_file_is_fatal(path):
    write(path, more="x A nonsense\n")
    with pytest.raises(LifecycleError, match=r"^plugin/file: /.*/db:9: A record: not an IPv4 address"):
        started(f"file {path}")


def test_nothing_looks_at_files_that_are_never_read_again(path):
    assert started(f"file {path} {{\nreload 0\n}}").services.spawned == []
    assert len(started(f"file {path}").services.spawned) == 1


def test_what_is_odd_in_a_file_is_logged(path, caplog):
    write(path, more="other.test. A 192.0.2.1\n")
    started(f"file {path}")
    assert "other.test. is outside of the zone" in caplog.text


# Reload


def looked_again(plugin):
    for _, files in plugin._uses:
        for file in files:
            finished(plugin.look_again(file))


def test_a_new_version_is_taken_over_and_told(path, caplog):
    caplog.set_level("INFO")
    told = []

    class Listener:
        def zone_changed(self, zone):
            told.append(zone)

    setup = FakeSetup()
    setup.siblings["transfer"] = Listener()
    plugin = started(f"file {path}", setup=setup)
    before = setup.published
    looked_again(plugin)
    assert setup.published == before
    write(path, 2, "new A 192.0.2.1\n")
    looked_again(plugin)
    assert setup.published == before + 1
    assert told == [names.from_text("example.org.")] * 2
    assert plugin.handle(query("new.example.org.")).rcode == NOERROR
    assert f'Successfully reloaded zone "example.org." in "{path}" with 2 SOA serial' in caplog.text


def test_those_to_be_told_are_looked_for_once(path):
    setup = FakeSetup()
    setup.siblings = CountedSiblings(setup.siblings)
    plugin = started(f"file {path}", setup=setup)
    for serial in range(2, 5):
        write(path, serial)
        looked_again(plugin)
    assert setup.siblings.walks == 1


@pytest.mark.parametrize(("option", "rcode"), [("", NXDOMAIN), ("reload_by_mtime", NOERROR)])
def test_a_change_without_a_new_version_is_taken_over_by_its_time_alone(path, option, rcode):
    plugin = started(f"file {path} {{\n{option}\n}}")
    write(path, 1, "new A 192.0.2.1\n")
    looked_again(plugin)
    assert plugin.handle(query("new.example.org.")).rcode == rcode


def test_a_fault_later_on_leaves_the_zone(path, caplog):
    plugin = started(f"file {path}")
    write(path, 2, "x A nonsense\n")
    looked_again(plugin)
    looked_again(plugin)
    assert plugin.handle(query()).rcode == NOERROR
    assert caplog.text.count('Parsing zone "example.org."') == 1


# Answers


def test_an_answer_is_authoritative_and_reusable(path):
    reply = started(f"file {path}").handle(query("WWW.example.ORG."))
    assert (reply.rcode, reply.flags, reply.plugin, reply.reusable) == (NOERROR, FLAG_AA, "file", True)
    assert owners(reply.records(query()).answer) == ["www.example.org."]


def test_a_referral_is_not_authoritative(path):
    reply = started(f"file {path}").handle(query("x.sub.example.org."))
    assert (reply.rcode, reply.flags) == (NOERROR, 0)


def test_names_outside_and_other_classes_go_on(path):
    plugin = started(f"file {path}")
    assert plugin.handle(query("www.example.com.")).plugin == "behind"
    question = query()
    question.qclass = 3
    assert plugin.handle(question).plugin == "behind"


def test_behind_it_is_nobody_who_would_answer():
    assert File.end_rcode == REFUSED


@pytest.mark.parametrize(
    ("option", "name", "rcode", "by"),
    [
        ("", "nope.example.org.", NXDOMAIN, "file"),
        ("fallthrough", "nope.example.org.", NOERROR, "behind"),
        ("fallthrough", "ns.www.example.org.", NOERROR, "behind"),
        ("fallthrough dev.example.org", "nope.example.org.", NXDOMAIN, "file"),
        ("fallthrough dev.example.org", "a.dev.example.org.", NOERROR, "behind"),
    ],
)
def test_fallthrough(path, option, name, rcode, by):
    reply = started(f"file {path} {{\n{option}\n}}").handle(query(name))
    assert (reply.rcode, reply.plugin) == (rcode, by)


def test_no_data_never_falls_through(path):
    plugin = started(f"file {path} {{\nfallthrough\n}}")
    assert plugin.handle(query(rtype="TXT")).plugin == "file"
    write(path, 2, "a.ent A 192.0.2.1\n")
    looked_again(plugin)
    assert plugin.handle(query("ent.example.org.")).plugin == "file"


@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
def test_transfers_are_refused(path, rtype):
    assert started(f"file {path}").handle(query("example.org.", rtype, "tcp")).rcode == REFUSED


def test_notify_gets_no_reply(path):
    question = query("example.org.", "SOA")
    question.opcode = NOTIFY
    assert started(f"file {path}").handle(question).dropped


def test_the_longest_zone_answers_but_for_ds_at_its_top(tmp_path):
    write(tmp_path / "parent")
    write(tmp_path / "child")
    plugin = started(f"file {tmp_path}/parent\nfile {tmp_path}/child sub.example.org")
    assert plugin.handle(query("www.sub.example.org.")).flags == FLAG_AA
    soa = plugin.handle(query("sub.example.org.", "DS")).records(query()).authority
    assert owners(soa) == ["example.org."]


# Aliases that lead out


def resolving(reply):
    question = query("out.example.org.")
    asked = []

    def resolve(query, name, qtype):
        asked.append((names.to_text(name), qtype))
        return reply

    question.resolve = resolve
    return question, asked


def test_what_others_answer_is_added(path):
    target = Record(names.from_text("target.other.test."), 1, 7, b"\xc0\x00\x02\x01")
    found = Reply(NOERROR, Sections((target,)), plugin="forward")
    question, asked = resolving(found)
    reply = started(f"file {path}").handle(question)
    assert asked == [("target.other.test.", 1)]
    assert owners(reply.records(question).answer) == ["out.example.org.", "target.other.test."]
    assert owners(reply.records(question).authority) == ["example.org."]
    assert (reply.rcode, reply.flags, reply.plugin, reply.reusable) == (NOERROR, FLAG_AA, "file", False)


def test_their_rcode_is_that_of_the_whole(path):
    question, _ = resolving(Reply(NXDOMAIN, plugin="forward"))
    reply = started(f"file {path}").handle(question)
    assert (reply.rcode, owners(reply.records(question).answer)) == (NXDOMAIN, ["out.example.org."])


def test_without_anybody_to_ask_the_alias_stands_alone(path):
    question, _ = resolving(Reply(REFUSED))
    reply = started(f"file {path}").handle(question)
    assert (reply.rcode, owners(reply.records(question).answer)) == (NOERROR, ["out.example.org."])


def test_where_others_say_nothing_it_is_servfail(path):
    question, _ = resolving(Reply.no_reply("erratic"))
    assert started(f"file {path}").handle(question).rcode == SERVFAIL


def test_they_may_take_their_time(path):
    async def later():
        return Reply(NOERROR, plugin="forward")

    question, _ = resolving(later())
    reply = finished(wait(started(f"file {path}").handle(question)))
    assert owners(reply.records(question).answer) == ["out.example.org."]


async def wait(result):
    return await result


def test_replies_of_others_that_may_be_reused_make_reusable_ones(path):
    found = Reply(NOERROR, plugin="cache")
    found.reusable = found.transient = True
    question, _ = resolving(found)
    reply = started(f"file {path}").handle(question)
    assert (reply.reusable, reply.transient) == (True, True)


# Transfers


def test_a_zone_gives_its_records_soa_first(path):
    plugin = started(f"file {path} example.org gone.test")
    assert plugin.transferable() == (names.from_text("example.org."), names.from_text("gone.test."))
    records = list(plugin.zone_records(names.from_text("example.org.")))
    assert len(records) == 7
    assert [record.rtype for record in records].index(6) == 0
    assert plugin.zone_records(names.from_text("other.test.")) is None


@pytest.mark.parametrize(
    ("name", "wildcard"),
    [("a.wild.example.org.", "*.wild.example.org."), ("www.example.org.", ""), ("nothing.example.org.", "")],
)
def test_the_wildcard_that_answers_is_told(path, name, wildcard):
    write(path, 1, "*.wild A 192.0.2.9\n")
    plugin = started(f"file {path}")
    asked = query(name)
    asked.metadata = QueryMetadata(asked, {})
    plugin.handle(asked)
    assert asked.metadata.get("zone/wildcard") == wildcard
