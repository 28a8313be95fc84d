# SPDX-License-Identifier: Apache-2.0
"""How the ``kubernetes`` directive is read: options, CoreDNS's error texts with their positions, and warnings."""

from __future__ import annotations

import pytest
from support.dns_cluster import parse_options

from clusterdns.cluster.apiserver.options import ApiServerOptions, TlsFiles
from clusterdns.config import planner
from clusterdns.config.expand import Source
from clusterdns.config.planner import Verdict
from clusterdns.dns import names
from clusterdns.errors import ConfigError
from clusterdns.plugins.kubernetes import Kubernetes
from clusterdns.plugins.kubernetes.source import SourceOptions


def check(directive: str, zone: str = ".") -> Verdict:
    corefile = f"{zone} {{\n{directive}\n}}\n"
    return planner.check(Source("Corefile", corefile), {"kubernetes": Kubernetes}, environment={})


def only_error(options: str, arguments: str = "cluster.local") -> ConfigError:
    verdict = check(f"kubernetes {arguments} {{\nmanifests dir\n{options}\n}}")
    assert len(verdict.errors) == 1, verdict.errors
    return verdict.errors[0]


PLACE = "Corefile:4 - Error during parsing: "
SYNTAX = "invalid syntax"
COUNT = f"{PLACE}Wrong argument count or unexpected line ending after "


@pytest.mark.parametrize(
    ("options", "text", "line", "column"),
    [
        ("pods nope", "wrong value for pods: nope,  must be one of: disabled, verified, insecure", 4, 6),
        ("pods", f"{COUNT}'pods'", 4, 1),
        ("pods a b", f"{COUNT}'b'", 4, 8),
        ("ttl", f"{COUNT}'ttl'", 4, 1),
        ("ttl 3601", f"{PLACE}ttl must be in range [0, 3600]: 3601", 4, 5),
        ("ttl -1", f"{PLACE}ttl must be in range [0, 3600]: -1", 4, 5),
        ("ttl x", 'strconv.Atoi: parsing "x": invalid syntax', 4, 5),
        ("namespaces", f"{COUNT}'namespaces'", 4, 1),
        ("labels", f"{COUNT}'labels'", 4, 1),
        ("namespace_labels", f"{COUNT}'namespace_labels'", 4, 1),
        (
            "labels a in",
            "unable to parse label selector value: 'a in': couldn't parse the selector string \"a in\": "
            "unable to parse requirement: found '' expected: '('",
            4,
            8,
        ),
        (
            "namespace_labels =",
            "unable to parse namespace_label selector value: '=': couldn't parse the selector string \"=\": "
            "found '=', expected: !, identifier, or 'end of string'",
            4,
            18,
        ),
        (
            "namespaces a\nnamespace_labels x=y",
            "Corefile:6 - Error during parsing: namespaces and namespace_labels cannot both be set",
            6,
            1,
        ),
        ("endpoint_pod_names x", f"{COUNT}'x'", 4, 20),
        ("noendpoints x y", f"{COUNT}'y'", 4, 15),
        ("ignore nope", "unable to parse ignore value: 'nope'", 4, 8),
        ("resyncperiod 5m", f"{PLACE}unknown property 'resyncperiod'", 4, 1),
        ("upstream", f"{PLACE}unknown property 'upstream'", 4, 1),
        ("manifests", f"{COUNT}'manifests'", 4, 1),
        ("manifests a b", f"{COUNT}'b'", 4, 13),
        ("service_cidr 10.0.0.0", f"{PLACE}service_cidr takes networks, not addresses: 10.0.0.0", 4, 14),
        ("service_cidr 10.0.0.1/8", f"{PLACE}invalid service_cidr: 10.0.0.1/8 has host bits set", 4, 14),
        ("service_cidr 10.0.0.0/8,11.0.0.0/8", f"{PLACE}service_cidr takes one network of each family", 4, 14),
        ("endpoint", f"{COUNT}'endpoint'", 4, 1),
        ("endpoint ftp://api", f"{PLACE}'ftp://api' is not the URL of an API server", 4, 10),
        ("endpoint http://[", f"{PLACE}'http://[' is not the URL of an API server", 4, 10),
        ("tls a b", f"{COUNT}'b'", 4, 7),
        ("kubeconfig", f"{COUNT}'kubeconfig'", 4, 1),
        ("kubeconfig a b c", f"{COUNT}'c'", 4, 16),
        ("apiserver_qps x", f'{PLACE}invalid apiserver_qps "x": strconv.ParseFloat: parsing "x": {SYNTAX}', 4, 15),
        ("apiserver_qps -1", f"{PLACE}apiserver_qps must be >= 0", 4, 15),
        ("apiserver_qps NaN", f"{PLACE}apiserver_qps must be >= 0", 4, 15),
        ("apiserver_burst 1.5", f'{PLACE}invalid apiserver_burst "1.5": strconv.Atoi: parsing "1.5": {SYNTAX}', 4, 17),
        ("apiserver_max_inflight -1", f"{PLACE}apiserver_max_inflight must be >= 0", 4, 24),
        ("startup_timeout 5", 'failed to parse startup_timeout: 5, time: missing unit in duration "5"', 4, 17),
        ("resync x", 'failed to parse resync: x, time: invalid duration "x"', 4, 8),
        ("snapshot f 1", 'failed to parse the age of a snapshot: 1, time: missing unit in duration "1"', 4, 12),
        ("zonal x", f"{COUNT}'x'", 4, 7),
        (
            "zonal\nnoendpoints",
            "Corefile:6 - Error during parsing: zonal requires the endpoint cache; remove noendpoints",
            6,
            1,
        ),
        (
            "multicluster clusterset.local",
            "Corefile:5 - Error during parsing: is not authoritative for the multicluster zone clusterset.local. "
            "(authoritative zones: [cluster.local.])",
            5,
            1,
        ),
        (
            "terminating_fallback maybe",
            f"{PLACE}wrong value for terminating_fallback: maybe, must be one of: on, off",
            4,
            22,
        ),
    ],
)  # fmt: skip
def test_faults_of_options(options: str, text: str, line: int, column: int) -> None:
    error = only_error(options)
    assert error.coredns_text() == f"plugin/kubernetes: {text}"
    assert (error.line, error.column) == (line, column)


@pytest.mark.parametrize("zones", ["10.0.0.0/8", "in-addr.arpa", "ip6.arpa in-addr.arpa"])
def test_a_forward_zone_is_needed(zones: str) -> None:
    error = only_error("", zones)
    assert error.coredns_text() == "plugin/kubernetes: non-reverse zone name must be used"
    assert (error.line, error.column) == (2, 1)


def test_all_faults_are_reported_at_once() -> None:
    verdict = check("kubernetes in-addr.arpa {\nttl x\npods y\n}")
    assert [error.line for error in verdict.errors] == [2, 3, 4]


def test_without_a_source_it_is_the_api_server_of_the_pod() -> None:
    verdict = check("kubernetes cluster.local")
    assert verdict.errors == ()
    assert verdict.plan is not None
    assert verdict.plan.blocks[0].directives[0].options.source == SourceOptions()


def test_how_the_api_server_is_reached() -> None:
    verdict = check(
        "kubernetes {\nendpoint https://a:6443\ntls c k ca\napiserver_qps 2.5\napiserver_burst 7\n"
        "apiserver_max_inflight 3\nstartup_timeout 1m\nresync 0s\nsnapshot state 2h\n}"
    )
    assert (verdict.errors, verdict.warnings) == ((), ())
    assert verdict.plan is not None
    assert verdict.plan.blocks[0].directives[0].options.source == SourceOptions(
        api_server=ApiServerOptions(
            endpoint="https://a:6443", tls=TlsFiles("c", "k", "ca"), qps=2.5, burst=7, max_inflight=3
        ),
        startup_timeout_seconds=60,
        resync_seconds=0,
        snapshot="state",
        snapshot_max_age_seconds=7200,
    )
    verdict = check("kubernetes {\nkubeconfig file context\n}")
    assert verdict.plan is not None
    assert verdict.plan.blocks[0].directives[0].options.source.api_server == ApiServerOptions(
        kubeconfig="file", context="context"
    )


@pytest.mark.parametrize(
    ("options", "line", "says"),
    [
        (
            "endpoint a b",
            3,
            "Multiple endpoints have been deprecated, only the first specified endpoint 'a' is used",
        ),
        ("tls a b c", 3, "tls does nothing without endpoint"),
        ("kubeconfig f\nendpoint a", 4, "endpoint does nothing beside kubeconfig"),
        ("manifests d\nendpoint a", 4, "endpoint does nothing beside manifests"),
        ("manifests d\nresync 1m", 4, "resync does nothing beside manifests"),
        ("endpoint a\nservice_cidr 10.0.0.0/16", 4, "service_cidr does nothing without manifests"),
    ],
)
def test_options_that_do_nothing_are_warned_of(options: str, line: int, says: str) -> None:
    verdict = check(f"kubernetes {{\n{options}\n}}")
    assert verdict.errors == ()
    assert [(warning.line, says in warning.message) for warning in verdict.warnings] == [(line, True)]


def test_it_is_used_once_in_a_block() -> None:
    verdict = check("kubernetes a {\nmanifests d\n}\nkubernetes b {\nmanifests d\n}")
    assert [error.message for error in verdict.errors] == ["this plugin can only be used once per Server Block"]


def test_all_options_are_read() -> None:
    options = parse_options(
        "a.example b.example:53 10.0.0.0/15 {\n pods verified\n ttl 60\n namespaces a b\n namespaces c\n"
        " labels a=b,c in (d)\n endpoint_pod_names\n noendpoints\n fallthrough x.a.example\n"
        " fallthrough 1.10.in-addr.arpa\n"
        " ignore empty_service\n service_cidr 10.0.0.0/16,fd00::/112\n}"
    )
    zone = options.zone
    text = tuple(names.to_text(name) for name in zone.zones)
    assert text == ("a.example.", "b.example.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa.")
    assert names.to_text(zone.primary) == "a.example."
    assert (zone.ttl_seconds, zone.pods, zone.namespaces) == (60, "verified", {"a", "b", "c"})
    assert (zone.endpoint_pod_names, zone.endpoints, zone.ignore_empty) == (True, False, True)
    assert options.fallthrough == (names.from_text("1.10.in-addr.arpa."),)
    assert (options.labels, options.namespace_labels) == ("a=b,c in (d)", "")
    assert (options.source.manifests, options.source.service_cidr) == ("dir", "10.0.0.0/16,fd00::/112")


def test_defaults() -> None:
    options = parse_options("")
    zone = options.zone
    assert (zone.zones, zone.primary) == ((names.from_text("cluster.local."),), names.from_text("cluster.local."))
    assert (zone.ttl_seconds, zone.pods, zone.namespaces, zone.endpoint_pod_names) == (5, "disabled", None, False)
    assert (zone.endpoints, zone.ignore_empty, options.fallthrough) == (True, False, ())
    assert options.source.service_cidr == "10.96.0.0/12"


@pytest.mark.parametrize(
    ("arguments", "options", "text", "line"),
    [
        ("cluster.local", "ignore", "ignore does nothing", 4),
        ("cluster.local", "ttl 5 6", "6 is ignored", 4),
        ("cluster.local 10.0.0.0/33", "", "10.0.0.0/33 is not a zone", 2),
        ("cluster.local", "fallthrough example.org", "outside the zones", 4),
        ("cluster.local", "fallthrough 10.0.0.0/99", "is not a zone", 4),
        ("cluster.local", "noendpoints\nignore empty_service", "leave no Service", 6),
    ],
)
def test_what_is_surely_not_meant_is_warned_of(arguments: str, options: str, text: str, line: int) -> None:
    verdict = check(f"kubernetes {arguments} {{\nmanifests dir\n{options}\n}}")
    assert verdict.errors == ()
    matching = [warning for warning in verdict.warnings if text in warning.message]
    assert [(warning.plugin, warning.line) for warning in matching] == [("kubernetes", line)]


def test_a_sound_directive_has_no_warnings() -> None:
    verdict = check(
        "kubernetes cluster.local in-addr.arpa {\nmanifests dir\nignore empty_service\n"
        "fallthrough svc.cluster.local in-addr.arpa 10.in-addr.arpa\n}"
    )
    assert (verdict.errors, verdict.warnings) == ((), ())


def test_a_directory_stands_in_for_an_api_server_that_is_not_named() -> None:
    corefile = ". {\nkubernetes cluster.local\n}\n"
    verdict = planner.check(
        Source("Corefile", corefile), {"kubernetes": Kubernetes}, environment={}, manifests="/cluster"
    )
    assert verdict.plan is not None
    assert verdict.plan.blocks[0].directives[0].options.source.manifests == "/cluster"
    assert [(warning.line, "/cluster" in warning.message) for warning in verdict.warnings] == [(2, True)]


def test_a_directory_that_is_named_counts_before_the_one_that_stands_in() -> None:
    corefile = ". {\nkubernetes cluster.local {\nmanifests named\n}\n}\n"
    verdict = planner.check(
        Source("Corefile", corefile), {"kubernetes": Kubernetes}, environment={}, manifests="/cluster"
    )
    assert verdict.plan is not None
    assert verdict.plan.blocks[0].directives[0].options.source.manifests == "named"
    assert verdict.warnings == ()
