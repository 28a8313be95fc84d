# SPDX-License-Identifier: Apache-2.0
from support.directives import metric
from support.serving import query

from clusterdns.dns.types import REFUSED
from clusterdns.observability.metrics import Registry
from clusterdns.serving.reply import Reply
from clusterdns.serving.traffic import Traffic


class Process:
    def __init__(self):
        self.metrics = Registry()


def test_queries_for_no_block_have_the_zone_dropped():
    process = Process()
    question = query()
    question.server = "dns://:53"
    Traffic(process.metrics).dropped(question, Reply(REFUSED), 33, 0.001)
    block = ("dns://:53", "dropped", "")
    assert metric(process, "coredns_dns_requests_total", *block, "udp", "1", "A") == 1
    assert metric(process, "coredns_dns_responses_total", *block, "REFUSED", "") == 1
    assert metric(process, "coredns_dns_request_duration_seconds", *block) == 1


def test_panics_are_counted_from_zero():
    process = Process()
    traffic = Traffic(process.metrics)
    assert metric(process, "coredns_panics_total") == 0
    traffic.panic()
    Traffic(process.metrics).panic()
    assert metric(process, "coredns_panics_total") == 2


def test_what_clients_make_up_does_not_make_new_metrics():
    process = Process()
    traffic = Traffic(process.metrics)
    for number in range(65280, 65400):
        question = query(f"{number}.example.org.", f"TYPE{number}")
        traffic.answered(question, Reply(plugin="whoami"), 30, 0.001)
    children = process.metrics.families["coredns_dns_requests_total"].children
    assert {labels[-1]: child.value for labels, child in children.items()} == {"other": 120}
    assert len(traffic._by_query) == 1
