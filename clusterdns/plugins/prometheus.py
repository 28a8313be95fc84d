# SPDX-License-Identifier: Apache-2.0
"""prometheus - exports metrics.

## Description

Serves `/metrics` in the Prometheus text format, or in OpenMetrics where the scraper asks for that. Only queries of the
server blocks that have *prometheus* are counted; metrics of other directives and of the process are on every address.
One address may be named in several server blocks. It may be used once in a server block.

If the address can't be had, that is logged and the server starts without it.

## Syntax

~~~ txt
prometheus [ADDRESS] {
    runtime_metrics
}
~~~

* **ADDRESS** is `HOST:PORT`, by default `localhost:9153`. An empty host means all addresses of the machine.
* `runtime_metrics` adds what Python's garbage collector does, by generation: `python_gc_collections_total`,
  `python_gc_objects_collected_total` and `python_gc_objects_uncollectable_total`. CoreDNS adds Go's runtime there.

## Metrics

The labels `server` (the listener, `dns://:53`), `zone` (of the server block) and `view` (empty) are on all whose names
begin with `coredns_dns_` or `coredns_plugin_`. A query that belongs to no server block has the zone `dropped`.

* `coredns_dns_requests_total{server, zone, view, proto, family, type}` - queries; `family` is 1 for IPv4, 2 for IPv6,
  rare types are `other`.
* `coredns_dns_request_duration_seconds{server, zone, view}` - how long replies took.
* `coredns_dns_request_size_bytes{server, zone, view, proto}` - sizes of queries.
* `coredns_dns_do_requests_total{server, zone, view}` - queries with the DO bit.
* `coredns_dns_response_size_bytes{server, zone, view, proto}` - sizes of replies.
* `coredns_dns_responses_total{server, zone, view, rcode, plugin}` - replies; `plugin` is the directive that answered.
* `coredns_plugin_enabled{server, zone, view, name}` - 1 for each directive in a block that sees queries, with the first
  zone of the block.
* `coredns_panics_total{}` - faults of directives.
* `coredns_build_info{version, revision, goversion}` - 1; `goversion` names the Python that runs.
* `clusterdns_udp_dropped_total{server, reason}` - datagrams without a reply: `unread` are queries for which the kernel
  had no room, as more came than could be answered; `unsent` are those that found too many waiting for upstreams, and
  replies that the kernel didn't take.
* `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_open_fds`,
  `process_max_fds`, `process_start_time_seconds` - of the process.
* `go_goroutines` - the number of asyncio tasks, so that dashboards made for CoreDNS show something.

Replies that were sent again from memory are counted like all others. How long they took is known for batches of them.

## Examples

~~~ corefile
. {
    prometheus :9153
    whoami
}
~~~
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Final

import msgspec

from clusterdns import __version__
from clusterdns.config.address import HostPort, listen_address
from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.dns import names
from clusterdns.errors import LifecycleError
from clusterdns.observability.exposition import render
from clusterdns.observability.process import export_process_metrics, export_runtime_metrics
from clusterdns.serving.capabilities import HttpAnswer, HttpLease, HttpRequest, Observer, Setup
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.traffic import Traffic

PATH: Final = "/metrics"


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    address: HostPort = HostPort("localhost", 9153)
    runtime_metrics: bool = False


class Prometheus(Plugin):
    """The directive."""

    name = "prometheus"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """An address and an option."""
        address = Options().address
        runtime_metrics = False
        line = reader.once()

        with reader.collecting():
            if line.expect(0, 1):
                address = listen_address(line.args[0])
        for option in line.block or ():
            with reader.collecting():
                _check_option(option)
                runtime_metrics = True
        return Options(address, runtime_metrics)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        metrics = setup.services.metrics
        self._traffic = Traffic(metrics, setup.view)
        self._enabled = metrics.gauge(
            "coredns_plugin_enabled",
            "A metric that indicates whether a plugin is enabled on per server and zone basis.",
            ("server", "zone", "view", "name"),
        )
        self._endpoint: HttpLease | None = None
        self._end_collecting: Callable[[], object] | None = None
        self._end_runtime_metrics: Callable[[], None] | None = None

    async def start(self) -> None:
        """Open the endpoint; if that fails, the server goes on without."""
        metrics = self.services.metrics
        metrics.gauge(
            "coredns_build_info",
            "A metric with a constant '1' value labeled by version, revision, and goversion of the server.",
            ("version", "revision", "goversion"),
        ).labels(__version__, "", f"python{platform.python_version()}").value = 1
        if "process_cpu_seconds_total" not in metrics.families:
            export_process_metrics(metrics)
        self._end_collecting = metrics.on_collect(self._collect)
        if self._options.runtime_metrics:
            self._end_runtime_metrics = export_runtime_metrics(metrics)
        try:
            self._endpoint = await self.services.http.acquire(str(self._options.address), PATH, self._answer)
        except LifecycleError as error:
            self.log.error("Failed to start metrics handler: %s", error)

    async def stop(self, final: bool) -> None:
        """Close the endpoint."""
        if self._end_collecting is not None:
            self._end_collecting()
        if self._end_runtime_metrics is not None:
            self._end_runtime_metrics()
        for labels in self._enabled_labels():
            self._enabled.children.pop(labels, None)
        if self._endpoint is not None:
            await self._endpoint.release()
            self._endpoint = None

    def observe(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """See Observer."""
        self._traffic.answered(query, reply, size_bytes, duration_seconds)

    def observe_hits(self, query: Query, reply: Reply, size_bytes: int, hits: int) -> None:
        """See HitObserver."""
        self._traffic.count(query, reply, size_bytes, times=hits)

    def observe_plain(self, query: Query, reply: Reply, size_bytes: int, number: int) -> None:
        """See PlainObserver."""
        self._traffic.count(query, reply, size_bytes, times=number)

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """See HitObserver."""
        self._traffic.durations(server, names.to_text(zone), durations)

    def _enabled_labels(self) -> list[tuple[str, str, str, str]]:
        setup = self.setup
        zone = names.to_text(setup.zones[0]) if setup.zones else ""
        return [
            (setup.server, zone, setup.view, name)
            for name, plugin in setup.siblings.items()
            if plugin.in_chain or isinstance(plugin, Observer)
        ]

    def _collect(self) -> None:
        for labels in self._enabled_labels():
            self._enabled.labels(*labels).value = 1

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        content_type, body = render(self.services.metrics, request.headers.get("accept", ""))
        return 200, content_type, body


def _check_option(option: Line) -> None:
    name = option.name.text
    if name == "tls":
        raise option.name.error(f"option '{name}' isn't implemented yet", hint="remove it")
    if name != "runtime_metrics":
        raise option.name.error(f"unknown option: {name}", hint="the only one is runtime_metrics")
    option.expect(0)
    option.no_block()
