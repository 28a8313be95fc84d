# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import check, make

from clusterdns.serving.limits import ConnectionLimits


def limits(text, before=None):
    return make(text).limit(before or ConnectionLimits())


def test_what_is_written_replaces_what_was_before():
    text = "timeouts {\nread 2s\nwrite 3\nidle 1m\nmaxtcpqueries 7\n}"
    assert limits(text) == ConnectionLimits(read_seconds=2, write_seconds=3, idle_seconds=60, max_queries=7)


def test_what_is_not_written_stays():
    before = ConnectionLimits(read_seconds=7, max_queries=9)
    assert limits("timeouts {\nidle 24h\n}", before) == ConnectionLimits(
        read_seconds=7, idle_seconds=86400, max_queries=9
    )
    assert limits("timeouts {\nmaxtcpqueries -1\n}", before).max_queries == 0


def test_several_add_up_and_the_last_counts():
    text = "timeouts {\nread 2s\nidle 2s\n}\ntimeouts {\nread 4s\n}"
    assert limits(text) == ConnectionLimits(read_seconds=4, idle_seconds=2)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("foo 1s", "unknown option: 'foo'"),
        ("read", "Wrong argument count or unexpected line ending after 'read'"),
        ("read 1s 2s", "Wrong argument count or unexpected line ending after '2s'"),
        ("write x", "failed to parse duration 'x'"),
        ("read 0.5s", "timeout provided '500ms' needs to be between 1 second and 24 hours"),
        ("read 0", "timeout provided '0s' needs to be between 1 second and 24 hours"),
        ("idle -5", "timeout provided '-5s' needs to be between 1 second and 24 hours"),
        ("idle 25h", "timeout provided '25h0m0s' needs to be between 1 second and 24 hours"),
        (
            "idle 9223372036854775807",
            "timeout provided '9223372036854775808s' needs to be between 1 second and 24 hours",
        ),
        ("maxtcpqueries", "Wrong argument count or unexpected line ending after 'maxtcpqueries'"),
        ("maxtcpqueries 0", "maxtcpqueries provided '0' needs to be -1 (unlimited) or a positive integer"),
        ("maxtcpqueries -2", "maxtcpqueries provided '-2' needs to be -1 (unlimited) or a positive integer"),
        ("maxtcpqueries x", "invalid value for maxtcpqueries 'x': strconv.Atoi: parsing \"x\": invalid syntax"),
    ],
)
def test_faults(option, message):
    (error,) = check(f"timeouts {{\n{option}\n}}").errors
    assert (error.message, error.line) == (message, 3)


@pytest.mark.parametrize(("text", "line"), [("timeouts", 2), ("timeouts {\n}", 3)])
def test_nothing_is_not_meant(text, line):
    (error,) = check(text).errors
    assert (error.message, error.line) == ("timeouts block with no timeouts specified", line)


def test_it_has_no_arguments():
    (error,) = check("timeouts x {\nread 1s\n}").errors
    assert error.message == "Wrong argument count or unexpected line ending after 'x'"
