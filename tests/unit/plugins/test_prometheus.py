# SPDX-License-Identifier: Apache-2.0
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.directives import FakeServices, FakeSetup, check, finished, make, parse, query

from clusterdns import __version__
from clusterdns.dns.types import NXDOMAIN
from clusterdns.serving.capabilities import HitObserver, Observer
from clusterdns.serving.reply import Reply

ADDRESS = "localhost:9153"


def samples(services, address=ADDRESS, **headers):
    """(name, sorted label values by name) to value."""
    _, text = services.get(address, "/metrics", **headers)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def named(found, name):
    return {tuple(value for _, value in key[1:]): number for key, number in found.items() if key[0] == name}


def started(text="prometheus", services=None, **arguments):
    plugin = make(text, setup=FakeSetup(services, **arguments))
    finished(plugin.start())
    return plugin


def asked(plugin, name="www.example.org.", rtype="A", reply=None, zone=b"\x07example\x03org\x00", **options):
    question = query(name, rtype, **options)
    question.server, question.zone = "dns://:53", zone
    plugin.observe(question, reply or Reply(plugin="whoami"), 100, 0.0003)
    return question


def test_queries_and_replies_are_counted_with_coredns_names_and_labels():
    plugin = started()
    asked(plugin)
    asked(plugin, rtype="NAPTR", reply=Reply(NXDOMAIN, plugin="kubernetes"), protocol="tcp")
    found = samples(plugin.services)
    block = {"server": "dns://:53", "zone": "example.org.", "view": ""}

    def value(name, **labels):
        return found[name, *sorted((block | labels).items())]

    assert value("coredns_dns_requests_total", proto="udp", family="1", type="A") == 1
    assert value("coredns_dns_requests_total", proto="tcp", family="1", type="other") == 1
    assert value("coredns_dns_responses_total", rcode="NOERROR", plugin="whoami") == 1
    assert value("coredns_dns_responses_total", rcode="NXDOMAIN", plugin="kubernetes") == 1
    assert value("coredns_dns_request_duration_seconds_bucket", le="0.00025") == 0
    assert value("coredns_dns_request_duration_seconds_bucket", le="0.0005") == 2
    assert value("coredns_dns_request_duration_seconds_bucket", le="8.192") == 2
    assert value("coredns_dns_request_size_bytes_sum", proto="udp") == len(query().packet)
    assert value("coredns_dns_response_size_bytes_bucket", proto="tcp", le="100") == 1
    assert value("coredns_dns_response_size_bytes_bucket", proto="tcp", le="0") == 0
    assert not named(found, "coredns_dns_do_requests_total")


def test_do_requests_are_counted_apart():
    plugin = started()
    asked(plugin)
    asked(plugin, use_edns=0, want_dnssec=True)
    asked(plugin, use_edns=0)
    assert named(samples(plugin.services), "coredns_dns_do_requests_total") == {("dns://:53", "", "example.org."): 1}


def test_a_query_without_a_reply_is_a_request_only():
    plugin = started()
    plugin.observe(query(), Reply.no_reply("acl"), 0, 0.1)
    found = samples(plugin.services)
    assert len(named(found, "coredns_dns_requests_total")) == 1
    assert not named(found, "coredns_dns_responses_total")


def test_reused_replies_are_counted_too():
    plugin = started()
    question = asked(plugin)
    plugin.observe_hits(question, Reply(plugin="whoami"), 100, 9)
    plugin.observe_hit_durations("dns://:53", question.zone, [(0.0001, 4), (0.001, 5)])
    found = samples(plugin.services)
    assert list(named(found, "coredns_dns_requests_total").values()) == [10]
    assert list(named(found, "coredns_dns_responses_total").values()) == [10]
    assert list(named(found, "coredns_dns_request_duration_seconds_count").values()) == [10]
    assert isinstance(plugin, Observer)
    assert isinstance(plugin, HitObserver)


def test_counts_go_on_over_a_reload():
    services = FakeServices()
    old = started(services=services)
    asked(old)
    new = started(services=services)
    finished(old.stop(False))
    asked(new)
    assert list(named(samples(services), "coredns_dns_requests_total").values()) == [2]


def test_enabled_plugins_are_those_of_the_running_blocks():
    services = FakeServices()
    old = started(services=services)
    for text in ("errors", "whoami", "health"):
        make(text, setup=old.setup)
    new = started(services=services)
    make("whoami", setup=new.setup)
    finished(old.stop(False))
    found = named(samples(services), "coredns_plugin_enabled")
    assert found == {(name, "dns://:53", "", "example.org."): 1 for name in ("prometheus", "whoami")}


def test_enabled_plugins_are_those_that_see_queries():
    plugin = started()
    for text in ("errors", "whoami", "health", "reload"):
        make(text, setup=plugin.setup)
    found = named(samples(plugin.services), "coredns_plugin_enabled")
    assert {key[0] for key in found} == {"errors", "prometheus", "whoami"}


def test_the_process_and_the_build_show():
    plugin = started()
    found = samples(plugin.services)
    assert found["coredns_panics_total",] == 0
    ((python, revision, version),) = named(found, "coredns_build_info")
    assert python.startswith("python3.")
    assert (revision, version) == ("", __version__)
    assert found["process_resident_memory_bytes",] > 1_000_000
    assert found["process_cpu_seconds_total",] > 0
    assert found["process_open_fds",] > 2
    assert "go_goroutines" in {key[0] for key in found}


def test_openmetrics_is_given_where_it_is_asked_for():
    plugin = started()
    _, text = plugin.services.get(ADDRESS, "/metrics", accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert text.endswith("# EOF\n")


def test_an_address_that_is_taken_is_logged_and_the_server_starts(caplog):
    services = FakeServices()
    services.refused_addresses.add(ADDRESS)
    plugin = started(services=services)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "Failed to start metrics handler: listen tcp localhost:9153: bind: address already in use"
    )
    asked(plugin)
    finished(plugin.stop(True))


def test_options():
    assert str(parse("prometheus").address) == "localhost:9153"
    assert str(parse("prometheus :9253").address) == ":9253"


@pytest.mark.parametrize(("text", "generations"), [("prometheus {\nruntime_metrics\n}", 3), ("prometheus", 0)])
def test_metrics_of_the_runtime_are_there_where_asked_for(text, generations):
    plugin = make(text)
    finished(plugin.start())
    families = {family.name: family for family in plugin.services.metrics.collect()}
    collections = families.get("python_gc_collections_total")
    assert (len(collections.children) if collections else 0) == generations
    finished(plugin.stop(True))
    assert not (collections and collections.children)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "prometheus :1 x",
            "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'",
        ),
        ("prometheus nonsense", "address nonsense: missing port in address"),
        ("prometheus\nprometheus", "this plugin can only be used once per Server Block"),
        (
            "prometheus {\nruntime_metrics x\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'x'",
        ),
        ("prometheus {\ntls web.yml\n}", "Corefile:3 - Error during parsing: option 'tls' isn't implemented yet"),
        ("prometheus {\nnope\n}", "Corefile:3 - Error during parsing: unknown option: nope"),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [f"plugin/prometheus: {says}"]


def test_queries_of_a_block_with_a_view_are_counted_apart():
    setup = FakeSetup()
    setup.view = "inside"
    plugin = make("prometheus", setup=setup)
    finished(plugin.start())
    asked(plugin)
    found = samples(plugin.services)
    assert named(found, "coredns_dns_requests_total") == {
        ("1", "udp", "dns://:53", "A", "inside", "example.org."): 1,
    }
    assert {labels[2] for labels in named(found, "coredns_plugin_enabled")} == {"inside"}
