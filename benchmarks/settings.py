# SPDX-License-Identifier: Apache-2.0
"""How the servers are set up that are compared: one task, said to each of them in its own way.

clusterdns runs everywhere. CoreDNS runs where the environment variable COREDNS names its program; it can't read
manifests, so its ``file`` plugin serves the same records from a zone file in place of ``kubernetes``. Unbound forwards,
with one thread, where it is installed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import generated_cluster
from generated_cluster import Service
from programs import ECHO, UPSTREAM
from servers import LOAD_CORE, MeasuredServer, free_ports

REPOSITORY = Path(__file__).resolve().parents[1]
CLUSTERDNS = "clusterdns"
WARMUP = "clusterdns, warmup"
COREDNS = "CoreDNS"
UNBOUND = "Unbound"
ECHO_NAME = "echo"
UPSTREAM_NAME = "upstream"
TTL_SECONDS = 300
DISTANT_US = 5000

_HEAD = """\
. {{
    errors
    health 127.0.0.1:{health}
    ready 127.0.0.1:{ready}
    prometheus 127.0.0.1:{metrics}
    loop
    reload
    loadbalance
"""
_KUBERNETES = """\
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {directory}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
"""
_FILE = "    file {path} cluster.local\n"
_FORWARD = "    forward . 127.0.0.1:{upstream} {{\n        max_concurrent 10000\n    }}\n"
_CACHE = "    cache 3600\n"
_UNBOUND = """\
server:
    interface: 127.0.0.1
    port: {port}
    num-threads: 1
    module-config: "iterator"
    do-daemonize: no
    use-syslog: no
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{folder}"
    do-ip6: no
    do-not-query-localhost: no
    outgoing-range: 8192
    num-queries-per-thread: 4096
    so-rcvbuf: 4m
    cache-max-ttl: 3600
    minimal-responses: yes
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{upstream}
    forward-no-cache: {no_cache}
"""


@dataclass
class Site:
    """What the settings are made in: an empty folder, and the cluster that is served."""

    folder: Path
    cluster: tuple[Service, ...]
    _count: int = 0

    @property
    def manifests(self) -> Path:
        directory = self.folder / "manifests"
        if not directory.exists():
            generated_cluster.write_manifests(self.cluster, directory)
        return directory

    @property
    def zone_file(self) -> Path:
        path = self.folder / "cluster.local.zone"
        if not path.exists():
            generated_cluster.write_zone_file(self.cluster, path)
        return path

    def file(self, name: str) -> Path:
        """A path that nothing else uses."""
        self._count += 1
        return self.folder / f"{self._count}.{name}"

    def clusterdns(self, name: str, *directives: str, **values: object) -> MeasuredServer:
        command, port = self._corefile(directives, values)
        return MeasuredServer(name, port, [sys.executable, "-m", "clusterdns", *command], REPOSITORY)

    def coredns(self, *directives: str, **values: object) -> Iterator[MeasuredServer]:
        """CoreDNS, if there is one."""
        program = os.environ.get("COREDNS")
        if program:
            command, port = self._corefile(directives, values)
            yield MeasuredServer(COREDNS, port, [program, *command])

    def _corefile(self, directives: tuple[str, ...], values: dict[str, object]) -> tuple[list[str], int]:
        port, health, ready, metrics = free_ports(4)
        path = self.file("Corefile")
        text = _HEAD + "".join(directives) + "}}\n"
        path.write_text(text.format(health=health, ready=ready, metrics=metrics, **values))
        return ["-conf", str(path), "-dns.port", str(port)], port

    def unbound(self, upstream: int, *, cache: bool) -> Iterator[MeasuredServer]:
        """Unbound, if it is installed."""
        program = unbound()
        if program:
            (port,) = free_ports(1)
            path = self.file("unbound.conf")
            no_cache = "no" if cache else "yes"
            path.write_text(_UNBOUND.format(port=port, upstream=upstream, no_cache=no_cache, folder=self.folder))
            yield MeasuredServer(UNBOUND, port, [program, "-d", "-c", str(path)])

    def upstream(self, delay_us: int) -> MeasuredServer:
        """A name server for everything, beside the load."""
        (port,) = free_ports(1)
        command = [str(UPSTREAM), str(port), str(delay_us), str(TTL_SECONDS)]
        return MeasuredServer(UPSTREAM_NAME, port, command, core=LOAD_CORE)


def unbound() -> str:
    """The program, empty if it isn't installed."""
    return shutil.which("unbound", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""


def echo() -> MeasuredServer:
    """The yardstick: nothing that reads and writes datagrams in batches gets past it."""
    (port,) = free_ports(1)
    return MeasuredServer(ECHO_NAME, port, [str(ECHO), str(port)])


def cluster(site: Site) -> Iterator[MeasuredServer]:
    """Names of the cluster: kubeadm's Corefile less ``forward`` and ``cache``."""
    yield echo()
    yield site.clusterdns(CLUSTERDNS, _KUBERNETES, directory=site.manifests)
    yield from site.coredns(_FILE, path=site.zone_file)


def forwarding(delay_us: int, *, cache: bool) -> Callable[[Site], Iterator[MeasuredServer]]:
    """Names from outside, asked of an upstream that takes ``delay_us``: kubeadm's Corefile less ``kubernetes``."""

    def prepare(site: Site) -> Iterator[MeasuredServer]:
        upstream = site.upstream(delay_us)
        yield upstream
        if not delay_us:
            yield echo()
        directives = (_FORWARD, _CACHE) if cache else (_FORWARD,)
        yield site.clusterdns(CLUSTERDNS, *directives, upstream=upstream.port)
        yield from site.coredns(*directives, upstream=upstream.port)
        yield from site.unbound(upstream.port, cache=cache)

    return prepare


def searching(site: Site) -> Iterator[MeasuredServer]:
    """Names from outside with a search list: kubeadm's whole Corefile, with and without ``warmup``."""
    upstream = site.upstream(DISTANT_US)
    yield upstream
    for name, directives in ((CLUSTERDNS, ()), (WARMUP, ("    warmup {{\n        max_rate 100000\n    }}\n",))):
        yield site.clusterdns(
            name, *directives, _KUBERNETES, _FORWARD, _CACHE, directory=site.manifests, upstream=upstream.port
        )
    yield from site.coredns(_FILE, _FORWARD, _CACHE, path=site.zone_file, upstream=upstream.port)


SETTINGS: dict[str, Callable[[Site], Iterator[MeasuredServer]]] = {
    "cluster": cluster,
    "cached": forwarding(0, cache=True),
    "uncached": forwarding(0, cache=False),
    "distant": forwarding(DISTANT_US, cache=True),
    "distant-uncached": forwarding(DISTANT_US, cache=False),
    "searching": searching,
}
"""By name: the servers to compare, their files written but nothing started yet."""
