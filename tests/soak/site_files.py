# SPDX-License-Identifier: Apache-2.0
"""The Corefile and the cluster of a soak, and what is changed about them while it runs."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

NAMESPACE = "soak"
SERVICES = 500  # as in clients.c
LASTING_SERVICES = 400
_PER_FILE = 50

_COREFILE = """\
.:{port} {{
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:{metrics_port}
    warmup
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {manifests}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    forward . {upstreams} {{
        prefer_udp
        policy {policy}
    }}
    cache {cache_seconds}
    loadbalance
}}
"""


@dataclass
class Site:
    """The files of a server, in a folder of their own."""

    folder: Path
    port: int
    metrics_port: int
    upstream_ports: tuple[int, ...]
    _version: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(4))

    @property
    def corefile(self) -> Path:
        return self.folder / "Corefile"

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    def write(self) -> None:
        """All files for the first time."""
        self.manifests.mkdir()
        self.write_corefile()
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        (self.manifests / "namespace.json").write_text(json.dumps(namespace))
        for number in range(SERVICES // _PER_FILE):
            self._write_services(number)

    def write_corefile(self) -> None:
        """Another configuration than before."""
        self._version += 1
        text = _COREFILE.format(
            port=self.port,
            metrics_port=self.metrics_port,
            manifests=self.manifests,
            upstreams=" ".join(f"127.0.0.1:{port}" for port in self.upstream_ports),
            policy=("random", "round_robin", "sequential")[self._version % 3],
            cache_seconds=20 + self._version % 10,
        )
        self.corefile.write_text(text)

    def edit_cluster(self) -> None:
        """Give some Services other addresses; of the last hundred some go and others come."""
        self._write_services(self._random.randrange(SERVICES // _PER_FILE))

    def _write_services(self, number: int) -> None:
        generation = self._random.randrange(1, 250)
        services = [
            _service(place, generation)
            for place in range(number * _PER_FILE, (number + 1) * _PER_FILE)
            if place < LASTING_SERVICES or self._random.random() < 0.5
        ]
        document = {"apiVersion": "v1", "kind": "List", "items": services}
        fresh = self.folder / "services.new"
        fresh.write_text(json.dumps(document))
        fresh.replace(self.manifests / f"services-{number}.json")


def _service(place: int, generation: int) -> dict[str, object]:
    """A Service whose address has its number in it."""
    address = f"10.{generation}.{place >> 8}.{place & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": f"service-{place}"},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]},
    }
