# SPDX-License-Identifier: Apache-2.0
"""Reading ``metadata``, and for which queries something is known."""

import pytest
from support.directives import check, make, query

from clusterdns.serving.metadata import NO_METADATA


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("metadata a {\nx\n}", "Wrong argument count or unexpected line ending after 'x'"),
        ("metadata\nmetadata", "Wrong argument count or unexpected line ending after 'metadata'"),
    ],
)
def test_what_cannot_be_read(text, place):
    (error,) = check(text).errors
    assert error.coredns_text() == f"plugin/metadata: Corefile:3 - Error during parsing: {place}"


def test_what_is_no_zone_is_warned_of():
    (warning,) = check("metadata a..b\nwhoami").warnings
    assert "not a zone" in str(warning)


class Knowing:
    def metadata(self, query, key):
        return f"{key} of {query.client.address}"


@pytest.mark.parametrize(("zones", "known"), [("", True), ("example.org", True), ("sub.example.org", False)])
def test_something_is_known_of_queries_in_the_zones(zones, known):
    plugin = make(f"metadata {zones}")
    plugin.setup.siblings["knowing"] = Knowing()
    metadata = plugin.collect(query("www.Example.org."))
    assert (metadata is not NO_METADATA) is known
    assert metadata.get("knowing/name") == ("name of 192.0.2.1" if known else "")
