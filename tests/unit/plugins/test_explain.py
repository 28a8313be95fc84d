# SPDX-License-Identifier: Apache-2.0
"""The directive ``explain``: it takes its place at the start and gives it back."""

import pytest
from support.directives import FakeLease, FakeServices, FakeSetup, check, finished, make


class Services(FakeServices):
    def __init__(self):
        super().__init__()
        self.explaining = self
        self.leases = {}

    async def acquire(self, place):
        self.leases[place] = FakeLease()
        return self.leases[place]


def test_the_place_is_taken_and_given_back():
    services = Services()
    plugin = make("explain unix:/run/explain.sock", setup=FakeSetup(services))
    finished(plugin.start())
    assert not services.leases["unix:/run/explain.sock"].released
    finished(plugin.stop(False))
    assert services.leases["unix:/run/explain.sock"].released
    finished(plugin.stop(True))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("explain 10.0.0.1:8055", "can't explain at '10.0.0.1:8055'", "others could reach this address"),
        ("explain :8055", "can't explain at ':8055'", "write unix:PATH"),
        ("explain unix:sock", "can't explain at 'unix:sock'", "absolute"),
        ("explain", "Wrong argument count or unexpected line ending after 'explain'", ""),
        ("explain 127.0.0.1:1 x", "Wrong argument count or unexpected line ending after 'x'", ""),
        ("explain 127.0.0.1:1 {\n}", "Unexpected token '{', expecting argument", ""),
        ("explain 127.0.0.1:1\nexplain 127.0.0.1:2", "this plugin can only be used once per Server Block", ""),
    ],
)
def test_faults(text, message, hint):
    error = check(text).errors[0]
    assert error.message == message
    assert hint in error.hint
