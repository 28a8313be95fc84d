# SPDX-License-Identifier: Apache-2.0
import logging

import pytest
from support.directives import FakeServices, FakeSetup, check, finished, make, parse

OK = (200, "OK")


class Waiting:
    """A directive that reports readiness."""

    def __init__(self, ready=False):
        self.is_ready = ready
        self.asked = 0

    def ready(self):
        self.asked += 1
        return self.is_ready


def block(services, text="ready", **siblings):
    setup = FakeSetup(services)
    setup.siblings.update(siblings)
    plugin = make(text, setup=setup)
    finished(plugin.start())
    return plugin


def test_without_anything_to_wait_for_it_is_ready():
    services = FakeServices()
    block(services)
    assert services.get(":8181", "/ready") == OK


def test_a_process_that_was_told_to_end_wants_no_new_clients():
    services = FakeServices()
    block(services, kubernetes=Waiting(True))
    services.leaving = True
    assert services.get(":8181", "/ready") == (503, "shutting down")


def test_all_directives_that_wait_are_named_and_logged(caplog):
    caplog.set_level(logging.INFO, "clusterdns")
    services = FakeServices()
    block(services, zed=Waiting(), kubernetes=Waiting(), done=Waiting(True))
    assert services.get(":8181", "/ready") == (503, "kubernetes,zed")
    assert [record.getMessage() for record in caplog.records] == ['Plugins not ready: "kubernetes,zed"']


def test_two_blocks_with_the_same_directive_are_both_asked():
    services = FakeServices()
    first, second = Waiting(), Waiting()
    block(services, kubernetes=first)
    block(services, "ready :8182", kubernetes=second)
    for address in (":8181", ":8182"):
        second.is_ready = True
        first.is_ready = False
        assert services.get(address, "/ready") == (503, "kubernetes")
    first.is_ready = True
    assert services.get(":8182", "/ready") == OK


def test_who_was_ready_once_is_not_asked_again():
    services = FakeServices()
    waiting = Waiting(True)
    block(services, kubernetes=waiting)
    assert services.get(":8181", "/ready") == OK
    waiting.is_ready = False
    assert services.get(":8181", "/ready") == OK
    assert waiting.asked == 1


def test_everybody_is_noted_even_while_somebody_waits():
    services = FakeServices()
    late, early = Waiting(), Waiting(True)
    block(services, kubernetes=late)
    block(services, kubernetes=early)
    assert services.get(":8181", "/ready")[0] == 503
    early.is_ready, late.is_ready = False, True
    assert services.get(":8181", "/ready") == OK


def test_each_block_has_its_own_mode():
    services = FakeServices()
    watched, settled = Waiting(True), Waiting(True)
    block(services, "ready {\nmonitor continuously\n}", kubernetes=watched)
    block(services, kubernetes=settled)
    assert services.get(":8181", "/ready") == OK
    settled.is_ready = False
    assert services.get(":8181", "/ready") == OK
    watched.is_ready = False
    assert services.get(":8181", "/ready") == (503, "kubernetes")


def test_a_stopped_block_does_not_count():
    services = FakeServices()
    old = block(services, kubernetes=Waiting())
    block(services, kubernetes=Waiting(True))
    assert services.get(":8181", "/ready")[0] == 503
    finished(old.stop(False))
    assert services.get(":8181", "/ready") == OK


def test_another_process_does_not_count():
    one, other = FakeServices(), FakeServices()
    block(one, kubernetes=Waiting())
    block(other, kubernetes=Waiting(True))
    assert other.get(":8181", "/ready") == OK


def test_options():
    assert parse("ready {\nmonitor until-ready\n}").continuously is False
    assert str(parse("ready 127.0.0.1:8282").address) == "127.0.0.1:8282"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ready a b", "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'b'"),
        ("ready nonsense", "address nonsense: missing port in address"),
        ("ready {\nmonitor x\n}", "Corefile:3 - Error during parsing: monitor type 'x' not supported"),
        (
            "ready {\nmonitor\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'monitor'",
        ),
        ("ready {\nnope\n}", "Corefile:3 - Error during parsing: unknown property 'nope'"),
        ("ready\nready", "this plugin can only be used once per Server Block"),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [f"plugin/ready: {says}"]
