# SPDX-License-Identifier: Apache-2.0
"""All directives in the order in which they see a query; what a Corefile says in which order does not matter.

The order is CoreDNS's; of those that CoreDNS doesn't have, ``families`` and ``warmup`` stand behind ``acl``, and
``explain`` sees no queries. A directive without a class is known but not implemented yet: a Corefile that uses it is
refused, never served without it.
"""

from __future__ import annotations

import importlib
from typing import Final

from clusterdns.serving.plugin import Plugin

DIRECTIVES: Final[dict[str, str | None]] = {
    "root": "clusterdns.plugins.root:Root",
    "metadata": "clusterdns.plugins.metadata:Collector",
    "geoip": None,
    "cancel": "clusterdns.plugins.cancel:Cancel",
    "proxyproto": None,
    "quic": None,
    "grpc_server": None,
    "https": None,
    "https3": None,
    "timeouts": "clusterdns.plugins.timeouts:Timeouts",
    "multisocket": None,
    "reload": "clusterdns.plugins.reload:Reload",
    "nsid": "clusterdns.plugins.nsid:Nsid",
    "bufsize": "clusterdns.plugins.bufsize:Bufsize",
    "bind": "clusterdns.plugins.bind:Bind",
    "debug": "clusterdns.plugins.debug:Debug",
    "trace": None,
    "ready": "clusterdns.plugins.ready:Ready",
    "health": "clusterdns.plugins.health:Health",
    "pprof": "clusterdns.plugins.pprof:Pprof",
    "explain": "clusterdns.plugins.explain:Explain",
    "shed": None,
    "prometheus": "clusterdns.plugins.prometheus:Prometheus",
    "errors": "clusterdns.plugins.errors:Errors",
    "log": "clusterdns.plugins.log:Log",
    "dnstap": "clusterdns.plugins.dnstap:Dnstap",
    "local": "clusterdns.plugins.local:Local",
    "dns64": "clusterdns.plugins.dns64:Dns64",
    "any": "clusterdns.plugins.any:Any",
    "chaos": "clusterdns.plugins.chaos:Chaos",
    "loadbalance": "clusterdns.plugins.loadbalance:Loadbalance",
    "tsig": None,
    "rewrite": "clusterdns.plugins.rewrite:Rewrite",
    "autopath": "clusterdns.plugins.autopath:Autopath",
    "acl": "clusterdns.plugins.acl:Acl",
    "families": "clusterdns.plugins.families:Families",
    "warmup": "clusterdns.plugins.warmup:Warmup",
    "cache": "clusterdns.plugins.cache:Cache",
    "header": "clusterdns.plugins.header:Header",
    "dnssec": None,
    "tls": None,
    "minimal": "clusterdns.plugins.minimal:Minimal",
    "template": "clusterdns.plugins.template:Template",
    "transfer": "clusterdns.plugins.transfer:Transfer",
    "hosts": "clusterdns.plugins.hosts:Hosts",
    "route53": None,
    "azure": None,
    "clouddns": None,
    "k8s_external": "clusterdns.plugins.k8s_external:K8sExternal",
    "kubernetes": "clusterdns.plugins.kubernetes:Kubernetes",
    "file": "clusterdns.plugins.file:File",
    "auto": "clusterdns.plugins.auto:Auto",
    "secondary": "clusterdns.plugins.secondary:Secondary",
    "etcd": "clusterdns.plugins.etcd:Etcd",
    "loop": "clusterdns.plugins.loop:Loop",
    "forward": "clusterdns.plugins.forward:Forward",
    "grpc": None,
    "erratic": "clusterdns.plugins.erratic:Erratic",
    "whoami": "clusterdns.plugins.whoami:Whoami",
    "on": None,
    "sign": None,
    "view": "clusterdns.plugins.view:View",
    "nomad": None,
}


def load(name: str) -> type[Plugin] | None:
    """The class of a directive; None if it is known but not implemented. Raises KeyError for an unknown one."""
    target = DIRECTIVES[name]
    if target is None:
        return None
    module, _, attribute = target.partition(":")
    plugin = getattr(importlib.import_module(module), attribute)
    assert isinstance(plugin, type)
    assert issubclass(plugin, Plugin)
    return plugin
