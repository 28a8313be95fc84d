# SPDX-License-Identifier: Apache-2.0
from support.directives import check, parse


def test_it_has_no_arguments():
    assert parse("debug") is None
    (error,) = check("debug x").errors
    assert error.coredns_text() == (
        "plugin/debug: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'"
    )
