# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import check, parse

INTERFACES = {"lo": ("127.0.0.1", "::1"), "eth0": ("192.0.2.1", "fe80::1%eth0")}


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("bind 127.0.0.1", ("127.0.0.1",)),
        ("bind 127.0.0.1 ::1 127.0.0.1", ("127.0.0.1", "::1")),
        ("bind 2001:DB8:0::1", ("2001:db8::1",)),
        ("bind fe80::1%eth0", ("fe80::1%eth0",)),
        ("bind lo", ("127.0.0.1", "::1")),
        ("bind 10.0.0.1 eth0", ("10.0.0.1", "192.0.2.1", "fe80::1%eth0")),
        ("bind 127.0.0.1\nbind ::1", ("127.0.0.1", "::1")),
        ("bind lo {\nexcept ::1\n}", ("127.0.0.1",)),
        ("bind lo eth0 {\nexcept eth0 127.0.0.1\n}", ("::1",)),
        ("bind lo {\nexcept 127.0.0.1\n}\nbind 127.0.0.1", ("::1", "127.0.0.1")),
    ],
)
def test_addresses(text, addresses):
    assert parse(text, interfaces=INTERFACES).addresses == addresses


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bind", "at least one address or interface name is expected"),
        ("bind nosuchif0", 'not a valid IP address or interface name: "nosuchif0"'),
        ("bind 1.2.3", 'not a valid IP address or interface name: "1.2.3"'),
        ("bind lo {\nexcept\n}", "at least one address or interface must be given to except subdirective"),
        ("bind lo {\nexcept nosuchif0\n}", 'not a valid IP address or interface name: "nosuchif0"'),
        ("bind lo {\nexcept lo\n}", "no address is left to listen on"),
        ("bind lo {\nnope\n}", 'Corefile:3 - Error during parsing: invalid option "nope"'),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text, interfaces=INTERFACES).errors] == [f"plugin/bind: {says}"]


def test_every_fault_is_told_with_its_position():
    errors = check("bind x lo y", interfaces=INTERFACES).errors
    assert [(error.line, error.column) for error in errors] == [(2, 6), (2, 11)]
