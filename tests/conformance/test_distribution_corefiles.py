# SPDX-License-Identifier: Apache-2.0
"""Corefiles as Kubernetes distributions write them: nothing in them is refused but what isn't implemented yet."""

from __future__ import annotations

import pytest

from clusterdns.config.expand import Source
from clusterdns.config.format import format_text
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import check
from clusterdns.plugins import table

KUBEADM = """
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""

K3S = """
.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    hosts /etc/coredns/NodeHosts {
      ttl 60
      reload 15s
      fallthrough
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
"""

NODE_LOCAL = """
cluster.local:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    bind 169.254.20.10 10.96.0.10
    forward . 10.96.0.11 {
            force_tcp
    }
    prometheus :9253
    health 169.254.20.10:8080
    }
in-addr.arpa:53 {
    errors
    cache 30
    bind 169.254.20.10 10.96.0.10
    forward . 10.96.0.11 {
            force_tcp
    }
    }
.:53 {
    errors
    cache 30
    bind 169.254.20.10 10.96.0.10
    forward . /etc/resolv.conf
    }
"""

OPENSHIFT = """
# corp
corp.example:5353 branch.example:5353 {
    prometheus 127.0.0.1:9153
    forward . tls://10.1.1.1 {
        tls_servername dns.corp.example
        tls
        policy round_robin
    }
    errors
    log . {
        class error
    }
    bufsize 512
    cache 900 {
        denial 9984 30
    }
}
.:5353 {
    bufsize 1232
    errors
    log . {
        class error
    }
    health {
        lameduck 20s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    prometheus 127.0.0.1:9153
    forward . /etc/resolv.conf {
        policy sequential
    }
    cache 900 {
        denial 9984 30
    }
    reload
}
hostname.bind:5353 {
    chaos
}
"""

AKS_LOCAL_DNS = """
health-check.localdns.local:53 {
    bind 169.254.10.10 169.254.10.11
    whoami
}
.:53 {
    log
    bind 169.254.10.10
    forward . 168.63.129.16 {
        policy sequential
        max_concurrent 1000
    }
    ready 169.254.10.10:8181
    cache 3600 {
        success 9984
        denial 9984
        serve_stale 3600s immediate
        servfail 0
    }
    loop
    nsid localdns
    prometheus :9253
    template ANY ANY internal.cloudapp.net {
        match "^(?:[^.]+\\\\.){4,}internal\\\\.cloudapp\\\\.net\\\\.$"
        rcode NXDOMAIN
        fallthrough
    }
    template ANY ANY reddog.microsoft.com {
        rcode NXDOMAIN
    }
}
.:53 {
    errors
    bind 169.254.10.11
    forward . 10.0.0.10 {
        policy sequential
        force_tcp
    }
    ready 169.254.10.10:8181
    prometheus :9253
}
"""

COREFILES = [
    pytest.param(KUBEADM, id="kubeadm"),
    pytest.param(K3S, id="k3s"),
    pytest.param(NODE_LOCAL, id="NodeLocal DNSCache"),
    pytest.param(OPENSHIFT, id="OpenShift"),
    pytest.param(AKS_LOCAL_DNS, id="AKS LocalDNS"),
]


@pytest.mark.parametrize("text", COREFILES)
def test_only_what_is_not_implemented_is_refused(text: str) -> None:
    verdict = check(Source("Corefile", text), LazyTable(table.DIRECTIVES, table.load), environment={})
    assert [str(error) for error in verdict.errors if " yet" not in error.message] == []


@pytest.mark.parametrize("text", COREFILES)
def test_nothing_is_odd_but_import_patterns_without_matches(text: str) -> None:
    verdict = check(Source("Corefile", text), LazyTable(table.DIRECTIVES, table.load), environment={})
    messages = [warning.message for warning in verdict.warnings]
    assert [message for message in messages if not message.startswith("No files matching import")] == []


@pytest.mark.parametrize("text", COREFILES)
def test_formatting_keeps_every_word(text: str) -> None:
    assert format_text(text).split() == text.split()
