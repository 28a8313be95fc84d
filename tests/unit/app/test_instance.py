# SPDX-License-Identifier: Apache-2.0
"""A Corefile's blocks become the engines of its listeners."""

import asyncio

import dns.message
import pytest
from support.directives import FakeServices, client
from support.serving import Faults, wire

from clusterdns.app.instance import Instance, listen_addresses
from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import plan
from clusterdns.plugins import table

ANSWER = '    template IN ANY {{\n        answer "{{{{ .Name }}}} 1 IN A {}"\n    }}\n'


def view(name, condition, address):
    return f"test {{\n    view {name} {{\n        expr {condition}\n    }}\n{ANSWER.format(address)}}}\n"


def started(corefile):
    found = plan(Source("Corefile", corefile), LazyTable(table.DIRECTIVES, table.load), environment={})
    ports = {listen: listen[1] for block in found.blocks for listen in listen_addresses(block)}
    services = FakeServices()
    instance = Instance(found, services, Faults(), ports=ports)
    asyncio.run(instance.start_answering())
    return instance, services


def ask(instance, name, rtype="A", listen=("", 53), **where):
    output = instance.engines[listen].handle(wire(name, rtype), client(**where))
    reply = dns.message.from_wire(output if isinstance(output, bytes) else asyncio.run(output))
    return reply.answer[0][0].to_text() if reply.answer else dns.rcode.to_text(reply.rcode())


@pytest.mark.parametrize(
    ("address", "rtype", "answer"),
    [("10.0.0.7", "A", "1.1.1.1"), ("192.0.2.1", "TXT", "2.2.2.2"), ("192.0.2.1", "A", "3.3.3.3")],
)
def test_blocks_of_one_zone_are_asked_in_the_order_of_the_corefile(address, rtype, answer):
    inside = view("inside", "incidr(client_ip(), '10.0.0.0/8')", "1.1.1.1")
    texts = view("texts", "type() == 'TXT'", "2.2.2.2")
    instance, _ = started(f"{inside}{texts}test {{\n{ANSWER.format('3.3.3.3')}}}\n")
    assert [ask(instance, "a.test.", rtype, address=address) for _ in range(3)] == [answer] * 3


def test_queries_are_counted_by_view():
    instance, services = started(view("v1", "type() == 'A'", "1.1.1.1") + view("v2", "true", "2.2.2.2"))
    ask(instance, "a.test.")
    ask(instance, "a.test.", "TXT")
    labels = services.metrics.families["coredns_template_matches_total"].children
    assert sorted(key[2:5] for key in labels) == [("v1", "IN", "A"), ("v2", "IN", "TXT")]


def test_a_view_may_use_the_metadata_of_its_block():
    condition = "metadata('view/name') == 'named'"
    with_metadata = view("named", condition, "1.1.1.1").replace("test {", "test {\n    metadata", 1)
    instance, _ = started(view("other", condition, "2.2.2.2") + with_metadata)
    assert ask(instance, "a.test.") == "1.1.1.1"


def test_a_block_listens_on_the_ports_of_its_keys_and_the_addresses_of_bind():
    corefile = f"a.test:53 b.test:54 {{\n    bind 127.0.0.1\n{ANSWER.format('1.1.1.1')}}}\n"
    instance, _ = started(corefile)
    assert set(instance.engines) == {("127.0.0.1", 53), ("127.0.0.1", 54)}
    assert ask(instance, "x.b.test.", listen=("127.0.0.1", 54)) == "1.1.1.1"
    assert ask(instance, "x.b.test.", listen=("127.0.0.1", 53)) == "REFUSED"
