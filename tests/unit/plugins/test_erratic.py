# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import check, finished, make, parse, query

from clusterdns.dns.masterfile import record_text
from clusterdns.dns.types import FLAG_AA, FLAG_TC
from clusterdns.serving.reply import Reply


def pattern(options, queries=8):
    """What becomes of queries in turn: D for dropped, T for truncated, ~ for late."""
    plugin = make(f"erratic {{\n{options}\n}}" if options else "erratic")
    letters = []
    for _ in range(queries):
        result = plugin.handle(query())
        late = not isinstance(result, Reply)
        reply = finished(result) if late else result
        letters.append("D" if reply.dropped else ("~" if late else "") + ("T" if reply.flags & FLAG_TC else "-"))
    return "".join(letters)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "D-D-D-D-"),
        ("drop 3", "D--D--D-"),
        ("drop 1", "DDDDDDDD"),
        ("drop 0", "--------"),
        ("truncate", "T-T-T-T-"),
        ("truncate 3", "T--T--T-"),
        ("truncate 0", "--------"),
        ("delay 4 1ms", "~----~----"),
        ("drop 3\ntruncate 2", "D-TDT-D-"),
        ("drop\ntruncate 3", "D-DTD-D-"),
        ("delay 2 1ms\ntruncate 4", "~T-~--~T-~--"),
        ("large", "D-D-D-D-"),
    ],
)
def test_the_turn_decides(options, expected):
    assert pattern(options) == expected


def answers(rtype, options="drop 0"):
    question = query("Www.example.org.", rtype)
    reply = make(f"erratic {{\n{options}\n}}").handle(question)
    return reply, [record_text(record).replace("\t", " ") for record in reply.records(question).answer]


def test_fixed_addresses():
    assert answers("A")[1] == ["Www.example.org. 0 IN A 192.0.2.53"]
    assert answers("AAAA")[1] == ["Www.example.org. 0 IN AAAA 2001:db8::53"]
    assert answers("A")[0].flags == FLAG_AA


def test_other_types_fail():
    reply, records = answers("MX")
    assert (reply.rcode, reply.flags, records) == (2, 0, [])


def test_large():
    assert len(set(answers("A", "drop 0\nlarge")[1])) == 32


def test_a_transfer_ends_with_its_soa_record_unless_it_is_truncated():
    records = answers("AXFR")[1]
    assert len(records) == 6
    assert records[0] == records[-1]
    assert records[3] == "a.Www.example.org. 0 IN AAAA 2001:bd8::53"
    assert answers("AXFR", "drop 0\ntruncate 1")[1] == records[:-1]


def test_ready_after_three_queries():
    plugin = make("erratic")
    seen = []
    for _ in range(4):
        seen.append(plugin.ready())
        plugin.handle(query())
    assert seen == [False, False, False, True]
    assert plugin.ready_by_queries


def test_defaults():
    options = parse("erratic {\ndelay\n}")
    assert (options.drop, options.delay, options.delay_seconds) == (0, 2, 0.1)
    assert parse("erratic {\ndelay 3 -1s\n}").delay_seconds == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("x", "unknown property 'x'"),
        ("drop 1 2", "Wrong argument count or unexpected line ending after '2'"),
        ("drop -1", 'illegal amount value given "-1"'),
        ("drop x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("truncate 1 2", "Wrong argument count or unexpected line ending after '2'"),
        ("truncate 99999999999", 'strconv.ParseInt: parsing "99999999999": value out of range'),
        ("delay 1 x", 'time: invalid duration "x"'),
        ("delay 1 5", 'time: missing unit in duration "5"'),
        ("delay 1 1s 2", "Wrong argument count or unexpected line ending after '2'"),
        ("large x", "unknown property 'x'"),
    ],
)
def test_faults(option, message):
    assert [error.message for error in check(f"erratic {{\n{option}\n}}").errors] == [message]


def test_an_argument_is_warned_of():
    verdict = check("erratic x")
    assert verdict.errors == ()
    assert [warning.message for warning in verdict.warnings] == ["erratic has no arguments: 'x' does nothing"]
