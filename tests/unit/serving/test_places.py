# SPDX-License-Identifier: Apache-2.0
"""Only places that nobody else can reach are taken."""

import pytest

from clusterdns.serving.places import parse_place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("unix:/run/x/explain.sock", "/run/x/explain.sock"),
        ("127.0.0.1:8055", ("127.0.0.1", 8055)),
        ("127.1.2.3:1", ("127.1.2.3", 1)),
        ("[::1]:8055", ("::1", 8055)),
    ],
)
def test_places(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text", ["0.0.0.0:8055", "10.0.0.1:8055", "[::]:8055", "[fe80::1]:8055", "[::ffff:10.0.0.1]:1"]
)
def test_addresses_that_others_reach_are_refused(text):
    with pytest.raises(ValueError, match="others could reach this address"):
        parse_place(text)


@pytest.mark.parametrize(
    "text", ["", ":8055", "localhost:8055", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", "8055"]
)
def test_what_is_no_place_is_refused(text):
    with pytest.raises(ValueError, match="write unix:PATH"):
        parse_place(text)


@pytest.mark.parametrize("text", ["unix:explain.sock", "unix:", "unix:/run/"])
def test_the_path_of_a_socket_is_absolute(text):
    with pytest.raises(ValueError, match="absolute"):
        parse_place(text)
